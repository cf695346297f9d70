// This file lets package hostcall have functions without a body.
