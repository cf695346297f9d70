// Package boot is the Sentry process around the kernel: it takes the configuration, gives up the host's files and every
// capability, has the kernel built, puts the system call filter in place, answers the control protocol, and ends the
// process with the status of the container.
//
// It must never open a host file after it has been isolated, nor go on after a failure of any of these steps.
package boot
