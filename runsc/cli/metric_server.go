package cli

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ringfort/runsc/metrics"
)

func metricServerCommand() *command {
	c := newCommand("metric-server", "", "serve statistics of all containers to Prometheus", 0, 0)
	listen := c.flags.String("listen", "127.0.0.1:9559", "`address` to listen on, HOST:PORT or unix:PATH")
	var dirs list
	c.flags.Var(&dirs, "dir", "another state `directory`; can be given several times")
	timeout := c.flags.Duration("timeout", 8*time.Second, "`time` after which a sandbox that does not answer is left out")
	once := c.flags.Bool("once", false, "print the statistics to standard output and end")
	c.run = func(a *app, _ []string) error {
		s := &metrics.Source{Dirs: append([]string{a.opts.Root}, dirs...), Options: a.opts, Timeout: *timeout}
		s.Options.Warn = nil // once for each scrape would be too often
		if *timeout <= 0 {
			return fmt.Errorf("--timeout: %v is not above zero", *timeout)
		}
		if *once {
			s.Write(a.out)
			return nil
		}
		l, err := metrics.Listen(*listen)
		if err != nil {
			return fmt.Errorf("--listen: %w", err)
		}
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
		go func() {
			<-signals
			l.Close()
		}()
		// With port 0 the kernel has chosen one.
		where := l.Addr().String()
		if strings.HasPrefix(*listen, "unix:") {
			where = *listen
		}
		fmt.Fprintln(a.out, "listening on", where)
		return s.Serve(l)
	}
	return c
}
