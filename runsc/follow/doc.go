// Package follow is the process that stands in a container's network namespace on the host for links that come later
// (docker network connect): it takes them over as runsc did with the first ones, hands their packet sockets to the
// Sentry, and tells it of links, addresses and routes that come and go.
//
// It must never change anything in the namespace but what silences the host's stack on new links, and takes nothing from
// the Sentry but the outcome of a request.
package follow
