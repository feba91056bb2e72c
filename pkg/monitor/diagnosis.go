package monitor

import (
	"fmt"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// saying is what the log was last told, so that each change is told once.
type saying struct {
	began   bool
	cause   cluster.Cause
	text    string // of causes that are told apart by it
	channel string
}

// report tells the log what is new in o.
func (w *Watch) report(o cluster.Observation) {
	was := w.said
	w.said.began = true
	w.said.cause, w.said.text = o.Cause, ""
	if o.Cause == cluster.CauseOther {
		w.said.text = o.Error
	}
	if !was.began || was.cause != w.said.cause || was.text != w.said.text {
		text, hint := diagnose(o.Cause)
		if o.Error != "" && o.Error == w.rec.denied {
			text, hint = "the server denies our user a privilege", "run mmmctl check, which shows the GRANT; it takes effect at the next sample"
		}
		w.do(Say{Warn: !o.Answered(), Text: text, Hint: hint, Err: o.Error})
	}
	if !o.Answered() {
		return
	}
	text, hint := diagnoseChannel(o.Server.Channel, w.set.Other)
	if w.said.channel = text; text != was.channel {
		if text == "" {
			w.do(Say{Text: "it replicates from the other member"})
			return
		}
		w.do(Say{Warn: true, Text: text, Hint: hint, Err: firstOf(o.Server.Channel.SQLError, o.Server.Channel.IOError)})
	}
}

// diagnose says in words what a cause means and what to do about it.
func diagnose(c cluster.Cause) (text, hint string) {
	switch c {
	case cluster.CauseNone:
		return "the server answers", ""
	case cluster.CauseRefused:
		return "the server is down: its port refuses connections", "look at the server's error log"
	case cluster.CauseReset:
		return "the server ends connections", "it is stopping, crashing, or something between resets its connections"
	case cluster.CauseConnectTimeout:
		return "the server's host does not answer", "the host or the network to it is down, or a firewall drops packets"
	case cluster.CauseAnswerTimeout:
		return "the server hangs: connections open, and nothing is answered", "look at its disks and processes"
	case cluster.CauseUnreachable:
		return "the server cannot be reached from here", "check the route and the name on the monitor's own host"
	case cluster.CauseAccessDenied:
		return "the server refuses our user", "check user and password in mmm.conf and the user's grants on the server"
	case cluster.CauseTooMany:
		return "the server has too many connections", "raise max_connections, or look for an application that leaks them"
	case cluster.CauseHostBlocked:
		return "the server has blocked this host after connection errors", "run FLUSH HOSTS on it and raise max_connect_errors"
	}
	return "the server answers with an error", "see the error"
}

// diagnoseChannel says what keeps a server from being the other member's
// replica; empty when nothing does. Stopped threads without an error are a
// state, not a fault.
func diagnoseChannel(c cluster.Channel, other cluster.Endpoint) (text, hint string) {
	switch {
	case !c.Configured:
		return "it is not a replica", fmt.Sprintf("point its replication at %s, with GTID", other)
	case c.Source != other:
		return fmt.Sprintf("its source %s is not the other member", c.Source),
			fmt.Sprintf("the configuration names the other member %s; both must be written alike", other)
	case !c.GTID:
		return "its replication does not use GTID", "switch the channel to GTID positions"
	case c.SQLErrno != 0:
		return fmt.Sprintf("its replication stopped applying with error %d", c.SQLErrno), "repair the row it names, or rebuild the server"
	case c.IOErrno != 0:
		return fmt.Sprintf("its replication does not receive, with error %d", c.IOErrno), ""
	}
	return "", ""
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}
