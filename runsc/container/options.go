package container

import (
	"os"
	"strings"
)

// Options are the global options of runsc, the same for all containers of one call.
type Options struct {
	Root          string
	Debug         bool
	DebugLog      string // a file, or a directory when it ends with a slash
	LogFormat     string
	Platform      string
	Network       string // "sandbox", "none"
	Overlay       string // "none", "memory"
	HostUDS       string // "none", "open"
	FollowLinks   bool
	Strace        bool
	SystemdCgroup bool
	// Version is the text of `runsc version`, for annotations of hooks and features.
	Version string
	// Network scraping is the network room's; nil: no links are taken over.
	Scrape ScrapeFunc
	// View reads a network namespace that is to be shown and left alone; the result is as that of Scrape.
	View func(nsPath string) (config []byte, err error)
	// ReleaseNet gives the links of a network namespace, taken over by Scrape, back to the host kernel.
	ReleaseNet func(nsPath string) error
	// Warn reports what could not be done and is not worth a failure.
	Warn func(format string, args ...any)
}

// A ScrapeFunc reads a network namespace and opens packet sockets on its links; the first result is the JSON form of
// what the Sentry's stack is built from.
type ScrapeFunc func(nsPath string) (config []byte, files []*os.File, err error)

// debugLogFile names the file for the messages of a container's processes, "" for the one in its directory.
func (o *Options) debugLogFile(id string) string {
	if !strings.HasSuffix(o.DebugLog, "/") {
		return o.DebugLog
	}
	return o.DebugLog + "runsc." + id + ".log"
}

func (o *Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(format, args...)
	}
}
