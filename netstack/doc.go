// Package netstack builds the sandbox's TCP/IP stack and configures it from a
// host network namespace.
//
// It owns the translation between Linux's view of a namespace (links,
// addresses, routes, neighbours: Config) and gVisor's pkg/tcpip, which carries
// the packets. Scrape runs in runsc, with host privileges, and is the only
// code here that talks to the host kernel by name; New runs in the Sentry and
// uses nothing but the packet sockets it is handed.
//
// # Taking a namespace over
//
// The host kernel has a stack of its own on the same links. Left alone it
// would answer every segment meant for a sandbox socket with a reset, every
// datagram with a port-unreachable, and every ARP request a second time. So
// Scrape puts a clsact queueing discipline with one ingress filter on each
// link, a two-instruction BPF classifier that drops everything. Packet sockets
// tap a frame before that hook runs, so the sandbox sees all and the host
// stack nothing. Addresses and routes stay where they are: `ip addr` on the
// host still tells the truth, another sandbox can be started on the same
// namespace, CNI plug-ins find what they configured, and Release undoes it by
// removing the discipline. It also dies with the namespace.
//
// A kernel without cls_bpf falls back to removing the addresses, which silences
// the host stack as well but cannot be undone by Release; Config.Takeover says
// which of the two was done, for the log.
//
// # Offloads
//
// Frames from a veth peer on the same host arrive with a partial transport
// checksum and, with segmentation offload, as up to 64 KiB at once: both
// leave the peer unfinished because no wire is crossed. Packet sockets are
// therefore opened with PACKET_VNET_HDR, so that large segments go both ways
// and the kernel splits and checksums what needs it, and the stack does not
// verify the checksums of received packets.
//
// # What it must never do
//
// Open a path or a socket after New; keep state shared between two Stacks.
//
// # Locks
//
// Stack.mu guards the tables tcpip does not keep (routes with their Linux
// attributes, address attributes, interface names). It is taken before any
// lock inside tcpip and never from a tcpip callback.
package netstack
