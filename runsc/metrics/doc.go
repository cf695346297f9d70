// Package metrics shows what the containers of a host use to Prometheus: it gathers, prints in the text form, and
// answers HTTP. (The server of package net/http and the client library of Prometheus cost every start of runsc more than
// these lines do.)
//
// It must never wait for a sandbox without end, nor keep anything between two requests. Texts of a container are shown,
// never trusted.
package metrics
