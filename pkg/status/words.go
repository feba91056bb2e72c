package status

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// inWords gives a duration as people say it: one unit, no false precision.
func inWords(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

// plain takes out what a terminal would obey: texts of servers and of other
// people's records are shown, never carried out.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// sessionWords tells what certainly is an application apart from what may be a
// replica that is just logging in.
func sessionWords(n, shared int, users []string) string {
	n -= shared
	text := fmt.Sprintf("%d application sessions", n)
	if n == 1 {
		text = "1 application session"
	}
	if len(users) > 0 {
		text += " (" + strings.Join(users, ", ") + ")"
	}
	if shared > 0 {
		text += fmt.Sprintf(", %d by the account of replication", shared)
	}
	return text
}

func channelWords(c cluster.Channel, other cluster.Endpoint) string {
	if !c.Configured {
		return "does not replicate: no channel is configured"
	}
	from := string(c.Source)
	if c.Source != other {
		from += " (not the other member)"
	}
	var text string
	switch {
	case c.IO == cluster.ThreadYes && c.SQL == cluster.ThreadYes:
		text = "replicates from " + from
		switch {
		case c.Delay < 0:
			text += ", delay not known"
		case c.Lags():
			text += fmt.Sprintf(", %s behind", inWords(time.Duration(c.Delay)*time.Second))
		default:
			text += ", caught up"
		}
	case c.SQLErrno != 0 || c.SQLError != "":
		text = fmt.Sprintf("replication from %s broke while applying: error %d: %s", from, c.SQLErrno, c.SQLError)
	case c.SQL != cluster.ThreadYes && c.IO == cluster.ThreadYes:
		text = "receives from " + from + " but applies nothing: the SQL thread is stopped"
	case c.IOErrno != 0 || c.IOError != "":
		word := "stopped"
		if c.IO == cluster.ThreadConnecting {
			word = "keeps trying"
		}
		text = fmt.Sprintf("receives nothing from %s, %s: error %d: %s", from, word, c.IOErrno, c.IOError)
	case c.Stopped():
		text = "replication from " + from + " is stopped (both threads)"
	case c.IO == cluster.ThreadConnecting:
		text = "is connecting to " + from
	default:
		text = fmt.Sprintf("receives nothing from %s: the IO thread says %s", from, orUnknown(string(c.IO)))
	}
	if !c.GTID {
		text += "; not positioned by GTID"
	}
	return plain(text)
}

func orUnknown(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// unproven says that an old active may be open, and why that was accepted.
func unproven(p cluster.Proof) string {
	if p == cluster.ProofOperator {
		return p.Words()
	}
	return "no proof that the old active is closed: " + p.Words()
}

// closedLater is unproven for an old active that has been seen closed since.
func closedLater(p cluster.Proof, old cluster.Endpoint) string {
	why := p.Words()
	if _, after, cut := strings.Cut(why, ": "); cut {
		why = after
	}
	return fmt.Sprintf("no proof when the role moved (%s); %s has been seen closed since", why, old)
}

// causeWords names what a server that does not answer shows.
func causeWords(c cluster.Cause) string {
	switch c {
	case cluster.CauseRefused:
		return "connection refused"
	case cluster.CauseReset:
		return "connection broke"
	case cluster.CauseConnectTimeout:
		return "no answer to the connect"
	case cluster.CauseAnswerTimeout:
		return "hung (it accepts connections)"
	}
	return string(c)
}

func protectionOf(sub Subject, a cluster.Assignment) *Protection {
	p, primary := sub.Policy, sub.Pair.Primary
	out := &Protection{Durability: cluster.Async, Unfenced: p.Unfenced, MaxLoss: p.MaxLoss}
	if a.Durability != "" {
		out.Durability = a.Durability
	}
	switch out.Durability {
	case cluster.SemiSync:
		out.Text = append(out.Text, "durability=semisync: a commit waits until the passive has received it; with the passive away commits go on, and nothing fails over by itself")
	case cluster.SemiSyncStrict:
		out.Text = append(out.Text, "durability=semisync-strict: a commit waits until the passive has received it, also while that is away")
	default:
		out.Text = append(out.Text, "asynchronous: what the passive has not received when the active dies is lost")
	}
	if out.Durability.Acknowledged() {
		out.Waits, out.Acknowledged = a.Waits, a.Waits && a.IsEligible(a.Passive)
	}
	if p.Durability != "" && p.Durability != out.Durability {
		out.Text = append(out.Text, fmt.Sprintf("mmm.conf says durability=%s: an operator has changed it since (mmmctl durability)", p.Durability))
	}
	switch {
	case p.MaxLoss == "", p.MaxLoss == "any":
		out.Text = append(out.Text, "max_loss=any: a failover happens however much would be lost")
	case strings.HasSuffix(p.MaxLoss, "s"):
		out.Text = append(out.Text, "max_loss="+p.MaxLoss+": no failover that may lose writes of more than "+strings.TrimSuffix(p.MaxLoss, "s")+" s")
	default:
		out.Text = append(out.Text, "max_loss="+p.MaxLoss+": no failover that would lose more than "+p.MaxLoss+" transactions")
	}
	switch p.Unfenced {
	case "wait":
		out.Text = append(out.Text, "unfenced=wait: nothing is opened before the old active is proved closed")
	case "risk":
		out.Text = append(out.Text, "unfenced=risk: an old active not proved closed delays nothing, and is recorded as risk")
	case "auto":
		out.Text = append(out.Text, "unfenced=auto: an old active not proved closed delays nothing when it refuses or hangs, 10 s at most when it is silent; recorded as risk")
	}
	if p.FailoverBlock > 0 {
		out.FailoverBlock = secondsOf(p.FailoverBlock)
		out.Text = append(out.Text, fmt.Sprintf("failover_block=%g: after an automatic failover none before the pair was whole for %s", p.FailoverBlock.Seconds(), inWords(p.FailoverBlock)))
	}
	out.Failback = p.Failback
	switch p.Failback {
	case "follow":
		out.FailbackAfter = secondsOf(p.FailbackAfter)
		out.Text = append(out.Text, fmt.Sprintf("failback=follow: the role returns to %s when a client of the active has been seen there for %s", primary, inWords(p.FailbackAfter)))
	case "auto":
		out.FailbackAfter = secondsOf(p.FailbackAfter)
		out.Text = append(out.Text, fmt.Sprintf("failback=auto: the role returns to %s when it has been well for %s", primary, inWords(p.FailbackAfter)))
	case "manual":
		out.Text = append(out.Text, fmt.Sprintf("failback=manual: the role returns to %s by mmmctl switchover only", primary))
	}
	return out
}
