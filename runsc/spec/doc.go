// Package spec reads the OCI configuration of a bundle (config.json), refuses what is wrong or cannot be honoured with
// one line that names the field and the value, and fills in what is left open.
//
// It must never drop a field in silence: support.go says of each one what becomes of it. It touches no file but the
// bundle's.
package spec
