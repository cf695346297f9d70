package netstack

import "net/netip"

// Takeover tells how the host kernel's own stack was silenced on the links of
// a namespace.
type Takeover string

const (
	// TakeoverNone: no link was taken over.
	TakeoverNone Takeover = ""
	// TakeoverDrop: an ingress filter drops what the host stack would see.
	TakeoverDrop Takeover = "ingress-drop"
	// TakeoverStrip: the addresses were removed from the host's links.
	TakeoverStrip Takeover = "addresses-removed"
)

// Config is a network namespace as the sandbox's stack shall show it. It is
// passed from runsc to the Sentry as JSON. Loopback is implied and never
// listed.
type Config struct {
	Links      []Link      `json:"links,omitempty"`
	Routes     []Route     `json:"routes,omitempty"`
	Neighbours []Neighbour `json:"neighbours,omitempty"`
	// Resolver is the loopback address of a name server on the host's side of the namespace; the last file is a socket
	// connected to it. Invalid for none.
	Resolver netip.Addr `json:"resolver,omitzero"`
	// Takeover tells what was done to the host's links.
	Takeover Takeover `json:"takeover,omitempty"`
	// Notes are one-line remarks, for the log, on what was found in the
	// namespace and not carried over.
	Notes []string `json:"notes,omitempty"`
}

// Link is one Ethernet-like interface.
type Link struct {
	// Index is the interface index, kept inside the sandbox.
	Index int    `json:"index"`
	Name  string `json:"name"`
	// Kind is rtnetlink's IFLA_INFO_KIND, as "veth".
	Kind string `json:"kind,omitempty"`
	MTU  uint32 `json:"mtu"`
	// MAC is the hardware address as six colon-separated octets.
	MAC        string `json:"mac"`
	TxQueueLen int    `json:"txQueueLen,omitempty"`
	// GSOMaxSize is the largest segment, in bytes, to hand the host at once;
	// 0 turns segmentation offload off.
	GSOMaxSize uint32 `json:"gsoMaxSize,omitempty"`
	// HasFile tells that a packet socket belongs to this link; files are
	// passed in the order of the links that have one.
	HasFile   bool      `json:"hasFile"`
	Addresses []Address `json:"addresses,omitempty"`
}

// Address is one address of a link, with the attributes rtnetlink reports.
type Address struct {
	Prefix    netip.Prefix `json:"prefix"`
	Broadcast netip.Addr   `json:"broadcast,omitzero"`
	Label     string       `json:"label,omitempty"`
	// Scope is RT_SCOPE_* of rtnetlink(7).
	Scope uint8 `json:"scope,omitempty"`
	// Flags are IFA_F_* of rtnetlink(7).
	Flags uint32 `json:"flags,omitempty"`
}

// Route is one unicast route of the main table.
type Route struct {
	// Dst is the destination; a default route is 0.0.0.0/0 or ::/0.
	Dst netip.Prefix `json:"dst"`
	// Gateway is the next hop, invalid for an on-link route.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Src is the preferred source address, invalid for none.
	Src netip.Addr `json:"src,omitzero"`
	// Link is the index of the output interface.
	Link int `json:"link"`
	// MTU limits packets on this route in bytes; 0 for the link's own.
	MTU uint32 `json:"mtu,omitempty"`
	// Metric is RTA_PRIORITY; the lowest wins among equal prefixes.
	Metric uint32 `json:"metric,omitempty"`
	// Scope, Protocol and Type are RT_SCOPE_*, RTPROT_* and RTN_*.
	Scope    uint8 `json:"scope,omitempty"`
	Protocol uint8 `json:"protocol,omitempty"`
	Type     uint8 `json:"type,omitempty"`
	// Flags are RTNH_F_*.
	Flags uint32 `json:"flags,omitempty"`
}

// Neighbour is one static link-layer address.
type Neighbour struct {
	Link int        `json:"link"`
	Addr netip.Addr `json:"addr"`
	MAC  string     `json:"mac"`
	// State is NUD_* of rtnetlink(7).
	State uint16 `json:"state,omitempty"`
}
