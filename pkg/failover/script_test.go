package failover

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// world is a scripted pair "a:1" and "b:1" with one monitor; a transition that
// is decided is applied as the bus would apply it.
type world struct {
	now      time.Duration
	policy   Policy
	state    State
	view     View
	seq      uint64
	lastGood map[cluster.Endpoint]int64
	failing  map[cluster.Endpoint]int64
	servers  map[cluster.Endpoint]cluster.Server
	saved    cluster.Assignment
	last     Decision
	desk     Desk
	// grantEnds is when the grant in the view does.
	grantEnds time.Duration
}

func newWorld() *world {
	w := &world{
		now: time.Second,
		policy: Policy{
			Pair:     cluster.Pair{Tag: "t", UniqSign: "u", Primary: "a:1", Secondary: "b:1", ServiceMode: cluster.ActivePassive},
			Interval: 3 * time.Second, ConnectTimeout: time.Second, TryTimes: 2,
			Unfenced: UnfencedAuto, FailoverBlock: time.Minute, MaxLoss: -1,
		},
		lastGood: map[cluster.Endpoint]int64{}, failing: map[cluster.Endpoint]int64{}, servers: map[cluster.Endpoint]cluster.Server{},
	}
	w.view.ID, w.view.Leading = "me", true
	w.view.Snapshot = cluster.Snapshot{
		UniqSign: "u", Leader: cluster.Leader{ID: "me"},
		Checks:       map[cluster.Endpoint]cluster.LegacyCheck{},
		Observations: map[cluster.Endpoint]map[string]cluster.Observation{},
		Reports:      map[cluster.Endpoint]map[string]cluster.Report{},
	}
	return w
}

func (w *world) decide() Decision {
	if g := w.view.Snapshot.Grant; g != nil {
		if g.Left = w.grantEnds - w.now; g.Left <= 0 {
			w.view.Snapshot.Grant = nil
		}
	}
	alone, last := Decide(w.state, w.view, w.policy, w.now)
	used := w.view
	used.Desk = &w.desk
	if w.state, w.last = Decide(w.state, used, w.policy, w.now); !reflect.DeepEqual(w.state, alone) || !reflect.DeepEqual(w.last, last) {
		panic("another decision at a desk than without one")
	}
	if t := w.last.Transition; t != nil {
		if t.Expect != w.view.Snapshot.Assignment.Order() {
			panic("the transition does not expect the record it was decided on")
		}
		w.view.Snapshot.Assignment = t.Next.Clone()
		w.state = w.state.Wrote(t.Next)
		if t.Request != nil {
			w.view.Snapshot.Request = t.Request
		}
	}
	if w.last.Answer != nil {
		w.view.Snapshot.Request = w.last.Answer
	}
	return w.last
}

func endpoint(name string) cluster.Endpoint { return cluster.Endpoint(name + ":1") }

// observe publishes a monitor's sample of node; words as in the scripts.
func (w *world) observe(node cluster.Endpoint, cause cluster.Cause, args map[string]string) error {
	w.seq++
	late, err := time.ParseDuration(cmp.Or(args["late"], "0s")) // on the way here
	if err != nil {
		return err
	}
	ms := (w.now - late).Milliseconds()
	o := cluster.Observation{Monitor: "m", Run: "r", Seq: w.seq, Node: node, BeganMS: ms, EndedMS: ms, Cause: cause}
	server, known := w.servers[node]
	if !known {
		server = cluster.Server{Flavor: cluster.MariaDB, GTIDMode: true, ReadOnly: cluster.Unknown}
		server.Channel.GTID = true
		if cause != cluster.CauseNone {
			server = cluster.Server{}
		}
	}
	for key, value := range args {
		switch key {
		case "ro":
			server.ReadOnly = cluster.TriOf(value == "1")
		case "exec":
			server.Executed = value
		case "id":
			server.Identity = value
		case "uid":
			server.UID = value
		case "uptime": // seconds
			server.UptimeS, _ = strconv.ParseInt(value, 10, 64)
		case "flavor":
			server.Flavor = cluster.Flavor(value)
		case "gtid":
			server.GTIDMode = value == "on"
		case "mark": // epoch,active
			epoch, active, _ := strings.Cut(value, ",")
			n, err := strconv.ParseUint(epoch, 10, 64)
			if err != nil {
				return err
			}
			server.Mark = cluster.Mark{Epoch: cluster.Epoch(n), Active: endpoint(active)}
		case "users":
			server.Users = nil
			if value != "" {
				server.Users = strings.Split(value, ",")
			}
		case "sessions":
			server.Sessions, _ = strconv.Atoi(value)
		case "shared":
			server.SharedSessions, _ = strconv.Atoi(value)
		case "source":
			server.Channel.Configured, server.Channel.Source = true, endpoint(value)
		case "io":
			server.Channel.IO = cluster.Thread(value)
		case "sql":
			server.Channel.SQL = cluster.Thread(value)
		case "sqlerr":
			server.Channel.SQLErrno, _ = strconv.Atoi(value)
		case "received":
			server.Channel.Received = value
		case "delay":
			server.Channel.Delay, _ = strconv.ParseInt(value, 10, 64)
		case "hb":
			server.Channel.Heartbeats, _ = strconv.ParseUint(value, 10, 64)
		case "hbms":
			server.Channel.HeartbeatPeriodMS, _ = strconv.ParseInt(value, 10, 64)
		case "acks": // source,clients,waiting,replica
			words := strings.Split(value, ",")
			if len(words) != 4 {
				return fmt.Errorf("acks %q are not four words", value)
			}
			server.Acks = cluster.Acks{Source: cluster.TriOf(words[0] == "yes"), Replica: cluster.TriOf(words[3] == "yes")}
			server.Acks.Clients, _ = strconv.Atoi(words[1])
			server.Acks.Waiting, _ = strconv.Atoi(words[2])
		case "starts-closed":
			server.StartsClosed = map[string]cluster.Tri{"yes": cluster.Yes, "no": cluster.No}[value]
		case "broken":
			o.Broken = value == "yes"
		case "late":
		default:
			return fmt.Errorf("unknown word %q", key)
		}
	}
	if cause == cluster.CauseNone {
		w.lastGood[node], w.failing[node] = ms, 0
		w.servers[node] = server
	} else if w.failing[node] == 0 {
		w.failing[node] = ms
	}
	o.FullMS = w.lastGood[node]
	o.LastGoodMS, o.UnansweredMS, o.Server, o.ReceivedMax = w.lastGood[node], w.failing[node], server, server.Channel.Received
	if w.view.Snapshot.Observations[node] == nil {
		w.view.Snapshot.Observations[node] = map[string]cluster.Observation{}
	}
	w.view.Snapshot.Observations[node]["m"] = o
	return nil
}

func (w *world) report(node cluster.Endpoint, args map[string]string) error {
	w.seq++
	if w.view.Snapshot.Reports[node] == nil {
		w.view.Snapshot.Reports[node] = map[string]cluster.Report{}
	}
	r := w.view.Snapshot.Reports[node]["agent"]
	r.Agent, r.Seq, r.Node = "agent", w.seq, node
	r.Order = w.view.Snapshot.Assignment.Order()
	r.Remembers = w.view.Snapshot.Assignment
	for key, value := range args {
		switch key {
		case "deed":
			r.Deed = cluster.Deed(strings.ReplaceAll(value, "_", " "))
			switch r.Deed {
			case cluster.DeedClosed:
				r.Closed = r.Order
			case cluster.DeedDrained, cluster.DeedCaughtUp:
				r.Ready = r.Order
			case cluster.DeedOpen:
				r.Opened = r.Order
			}
		case "exec":
			r.Executed = value
		case "queued":
			r.Queued = value == "yes"
		case "tail":
			r.Tail = value
		case "writes": // what became of the row written on it, and when that failed for 3 s
			r.Writes, r.WritesMS = cluster.Writes(strings.ReplaceAll(value, "_", " ")), 0
			if r.Writes.Fail() {
				r.WritesMS = 3000
			}
		case "full": // its disk, as the agent of its host sees
			r.NoRoom = value == "yes"
		case "ended": // its process, when it had been up for so many seconds
			r.EndedUptimeS, _ = strconv.ParseInt(value, 10, 64)
		case "stopped": // it ended for being stopped
			r.Stopped = value == "yes"
		case "closed-uptime": // seconds
			r.ClosedUptimeS, _ = strconv.ParseInt(value, 10, 64)
		case "closed": // a closing is not claimed any more
			r.Closed = cluster.Order{}
		case "waits": // commits wait, by what it has just seen to
			r.Waits = r.Order
		case "lease": // what is held, of 10 s each
			r.Lease, r.LeaseMS = cluster.Lease(strings.ReplaceAll(value, "_", " ")), 10_000
		case "lock": // of the passive: free, for long enough
			r.LeaseMS, r.LockOver = 10_000, value == "over"
		case "cause":
			r.Cause = cluster.Cause(strings.ReplaceAll(value, "_", " "))
		case "reason":
			r.Reason = value
		case "note":
			r.Notes = nil
			if value != "none" {
				r.Notes = []cluster.Reason{{Code: value, Text: "1227 access denied"}}
			}
		case "remembers": // the record kept by "keep", as from a file
			r.Remembers = cluster.Assignment{}
			if value == "kept" {
				r.Remembers = w.saved.Clone()
			}
		case "recalls": // an epoch
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil {
				return err
			}
			r.Remembers = cluster.Assignment{Epoch: cluster.Epoch(n), Version: 1, Phase: cluster.PhaseSteady, Active: "b:1", Passive: "a:1"}
		case "locked":
			r.Locked = nil
			for user := range strings.SplitSeq(value, ",") {
				r.Locked = append(r.Locked, cluster.Account{User: user, Host: "%"})
			}
		default:
			return fmt.Errorf("unknown word %q", key)
		}
	}
	w.view.Snapshot.Reports[node]["agent"] = r
	return nil
}

// probe gives identify a sample of its own.
func (w *world) probe(node cluster.Endpoint, args map[string]string) error {
	if w.view.Probed == nil {
		w.view.Probed = map[cluster.Endpoint]Probe{}
	}
	p := w.view.Probed[node]
	p.Server.Flavor, p.Server.GTIDMode = cluster.MariaDB, true
	p.Seq++
	for key, value := range args {
		switch key {
		case "exec":
			p.Server.Executed = value
		case "id":
			p.Server.Identity = value
		case "users":
			p.Server.Users = strings.Split(value, ",")
		case "source":
			p.Server.Channel = cluster.Channel{Configured: true, GTID: true, Source: endpoint(value), IO: cluster.ThreadYes, SQL: cluster.ThreadYes}
		default:
			return fmt.Errorf("unknown word %q", key)
		}
	}
	w.view.Probed[node] = p
	return nil
}

// expect compares the last decision and the record with key=value words.
func (w *world) expect(args map[string]string) error {
	rec := w.view.Snapshot.Assignment
	for key, want := range args {
		var got string
		switch key {
		case "rule":
			got = w.last.Rule
		case "change":
			got = "no"
			if w.last.Transition != nil {
				got = "yes"
			}
		case "node": // that the event is about
			if w.last.Transition != nil {
				got = strings.TrimSuffix(string(w.last.Transition.Event.Node), ":1")
			}
		case "announced":
			got = strconv.FormatBool(w.last.Transition != nil && w.last.Transition.Announce)
		case "epoch":
			got = strconv.FormatUint(uint64(rec.Epoch), 10)
		case "phase":
			got = string(rec.Phase)
		case "active":
			got = strings.TrimSuffix(string(rec.Active), ":1")
		case "eligible":
			got = strconv.Itoa(len(rec.Eligible))
		case "durability":
			got = string(rec.Durability)
		case "waits":
			got = strconv.FormatBool(rec.Waits)
		case "blocked":
			got = strconv.FormatBool(rec.Blocked)
		case "target":
			got = rec.Target
		case "risk":
			got = strconv.FormatBool(rec.Proof.IsRisk())
		case "proof":
			got = strings.ReplaceAll(string(rec.Proof), " ", "_")
		case "held":
			got = strconv.FormatBool(w.last.Verdict.Held)
		case "epoch_table":
			got = rec.EpochTable
		case "cause":
			got = strings.ReplaceAll(rec.Cause, " ", "_")
		case "lossy":
			got = strconv.FormatBool(rec.Loss != "")
		case "left":
			got = rec.Left
		case "estimated":
			got = strconv.FormatBool(rec.Estimated)
		case "event": // the kind of it
			if w.last.Transition != nil {
				got = strings.ReplaceAll(w.last.Transition.Event.Kind, " ", "_")
			}
		case "loss": // a part of it
			if got = strings.ReplaceAll(rec.Loss, " ", "_"); strings.Contains(got, want) {
				continue
			}
		case "steps": // of the timeline, with what is noted at them
			if w.last.Transition != nil {
				for _, s := range w.last.Transition.Event.Steps {
					got += "," + strings.ReplaceAll(s.Name+":"+s.Err, " ", "_")
				}
			}
			if strings.Contains(got, ","+want) {
				continue
			}
		case "code":
			got = w.last.Verdict.Reason.Code
		case "why": // a part of the reason's words
			if got = strings.ReplaceAll(w.last.Verdict.Reason.Text, " ", "_"); strings.Contains(got, want) {
				continue
			}
		case "blocker":
			for _, b := range w.last.Verdict.Blockers {
				got += b.Code + ","
			}
			if strings.Contains(got, want+",") {
				continue
			}
		case "note":
			for _, n := range w.last.Verdict.Notes {
				got += n.Code + ","
			}
			if strings.Contains(got, want+",") {
				continue
			}
		case "unnoted":
			if !slices.ContainsFunc(w.last.Verdict.Notes, func(n cluster.Reason) bool { return n.Code == want }) {
				continue
			}
			got = "noted"
		case "says": // a part of a note's words
			for _, n := range w.last.Verdict.Notes {
				got += strings.ReplaceAll(n.Text, " ", "_") + "; "
			}
			if strings.Contains(got, want) {
				continue
			}
		case "request":
			if w.view.Snapshot.Request != nil {
				got = strings.ReplaceAll(string(w.view.Snapshot.Request.State), " ", "_")
			}
		case "answer": // a part of it
			if r := w.view.Snapshot.Request; r != nil {
				got = strings.ReplaceAll(r.Answer, " ", "_")
			}
			if strings.Contains(got, want) {
				continue
			}
		case "again":
			most, err := time.ParseDuration(want)
			if err != nil {
				return err
			}
			if w.last.Again <= most {
				continue
			}
			got = w.last.Again.String()
		default:
			return fmt.Errorf("unknown word %q", key)
		}
		if got != want {
			return fmt.Errorf("%s is %q, want %q (rule %s: %s)", key, got, want, w.last.Rule, w.last.Verdict.Reason)
		}
	}
	return nil
}

func (w *world) line(words []string) error {
	args := map[string]string{}
	var plain []string
	for _, word := range words[1:] {
		if key, value, ok := strings.Cut(word, "="); ok {
			args[key] = value
		} else {
			plain = append(plain, word)
		}
	}
	snap := &w.view.Snapshot
	switch words[0] {
	case "after":
		d, err := time.ParseDuration(plain[0])
		w.now += d
		return err
	case "policy":
		for key, value := range args {
			switch key {
			case "unfenced":
				w.policy.Unfenced = Unfenced(value)
			case "block":
				w.policy.FailoverBlock, _ = time.ParseDuration(value)
			case "restart":
				w.policy.RestartGrace, _ = time.ParseDuration(value)
			case "servicemode":
				w.policy.Pair.ServiceMode = cluster.ActiveActive
			case "durability":
				w.policy.Durability = cluster.Durability(value)
			case "epoch_table":
				w.policy.EpochTable = value
			case "write_probe":
				w.policy.WriteProbe, _ = time.ParseDuration(value)
			case "failback":
				w.policy.Failback = Failback(value)
			case "failback_after":
				w.policy.FailbackAfter, _ = time.ParseDuration(value)
			case "max_loss":
				w.policy.MaxLoss, _ = strconv.ParseInt(value, 10, 64)
			case "max_loss_age":
				w.policy.MaxLossAge, _ = time.ParseDuration(value)
			}
		}
		return nil
	case "leading":
		w.view.Leading = plain[0] == "yes"
		return nil
	case "see":
		return w.observe(endpoint(plain[0]), cluster.CauseNone, args)
	case "fail":
		return w.observe(endpoint(plain[0]), cluster.Cause(strings.Join(plain[1:], " ")), args)
	case "expire":
		delete(snap.Observations, endpoint(plain[0]))
		return nil
	case "older": // Redis went back to an older one of it
		o := snap.Observations[endpoint(plain[0])]["m"]
		o.Seq = 1
		snap.Observations[endpoint(plain[0])]["m"] = o
		return nil
	case "older-report": // Redis went back to an older one on it
		r := snap.Reports[endpoint(plain[0])]["agent"]
		r.Seq = 1
		snap.Reports[endpoint(plain[0])]["agent"] = r
		return nil
	case "forget": // the monitor was restarted and has not had an answer of it
		node := endpoint(plain[0])
		delete(snap.Observations, node)
		delete(w.servers, node)
		delete(w.lastGood, node)
		delete(w.failing, node)
		return nil
	case "waits": // the record says that commits wait for the passive
		snap.Assignment.Waits = plain[0] == "yes"
		return nil
	case "bump": // another identify changed the record without moving a role
		snap.Assignment.Version++
		return nil
	case "raise": // another identify rebuilt it
		snap.Assignment.Epoch++
		snap.Assignment.Version = 1
		return nil
	case "grant": // of 10 s, as Redis shows it now
		left, err := time.ParseDuration(args["left"])
		snap.Grant = &cluster.Grant{Node: endpoint(plain[0]), Agent: "agent", Epoch: 1, TTL: 10 * time.Second}
		w.grantEnds = w.now + left
		return err
	case "report":
		return w.report(endpoint(plain[0]), args)
	case "check":
		last, _ := strconv.ParseInt(args["last"], 10, 64)
		snap.Checks[endpoint(plain[0])] = cluster.LegacyCheck{Ping: args["ping"] == "1", ReplCheck: args["repl"], ReadOnly: int(args["ro"][0] - '0'), LastCheck: last}
		return nil
	case "probe":
		return w.probe(endpoint(plain[0]), args)
	case "mode":
		snap.Legacy = cluster.LegacyMode{Active: endpoint(plain[0])}
		return nil
	case "request":
		snap.Request = &cluster.Request{ID: "1", Verb: cluster.VerbSwitchover, To: endpoint(plain[0]), Actor: "me", State: cluster.RequestFiled}
		return nil
	case "override":
		snap.Request = &cluster.Request{ID: "1", Verb: cluster.VerbFailover, To: endpoint(plain[0]), Actor: "me", State: cluster.RequestFiled, Force: len(plain) > 1}
		return nil
	case "promise": // an operator asks for another durability
		snap.Request = &cluster.Request{ID: "1", Verb: cluster.VerbDurability, Durability: cluster.Durability(plain[0]), Actor: "me", State: cluster.RequestFiled}
		return nil
	case "pause":
		snap.Pause = &cluster.Pause{Actor: "me"}
		return nil
	case "resume":
		snap.Pause = nil
		return nil
	case "keep":
		w.saved = snap.Assignment.Clone()
		return nil
	case "restore":
		snap.Assignment = w.saved.Clone()
		return nil
	case "strangers": // mmm.conf names other servers than the record
		snap.Assignment = cluster.Assignment{Epoch: 7, Version: 2, Phase: cluster.PhaseSteady, Active: "c:1", Passive: "d:1", From: "d:1", To: "c:1"}
		return nil
	case "reportless": // Redis has lost the reports
		snap.Reports = map[cluster.Endpoint]map[string]cluster.Report{}
		return nil
	case "garble":
		snap.Assignment, snap.AssignmentFault = cluster.Assignment{}, "it is a list"
		return nil
	case "flush":
		snap.Assignment, snap.Reports, snap.Request = cluster.Assignment{}, map[cluster.Endpoint]map[string]cluster.Report{}, nil
		return nil
	case "restart":
		w.state = State{}
		return nil
	case "decide":
		w.decide()
		return w.expect(args)
	}
	return fmt.Errorf("unknown line %q", words[0])
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			w := newWorld()
			lines := bufio.NewScanner(f)
			for n := 1; lines.Scan(); n++ {
				words := strings.Fields(strings.SplitN(lines.Text(), "#", 2)[0])
				if len(words) == 0 {
					continue
				}
				if err := w.line(words); err != nil {
					t.Fatalf("%s:%d: %s: %v", file, n, lines.Text(), err)
				}
			}
		})
	}
}
