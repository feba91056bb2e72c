package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/tests/harness"
)

// perl stands for the predecessor's programs: it writes and reads Redis exactly
// as they do, and nothing else.
type perl struct {
	*stage
	redis *redis.Client
}

func (p perl) key(name string) string { return "mysql-" + string(p.UniqSign) + "-" + name }

// monitor writes what one round of the predecessor's monitor writes.
func (p perl) monitor(ctx context.Context, dead ...*harness.Server) error {
	err := errors.Join(
		p.redis.SetNX(ctx, p.key("servicemode"), "1", 0).Err(),
		p.redis.SetNX(ctx, p.key("primaryhost"), string(p.a.Addr()), 0).Err(),
		p.redis.SetNX(ctx, p.key("secondaryhost"), string(p.b.Addr()), 0).Err(),
		p.redis.SAdd(ctx, p.key("members"), string(p.a.Addr()), string(p.b.Addr())).Err(),
	)
	for _, server := range p.Pair.Servers() {
		values := map[string]string{
			"ping": "0", "repl_check": "Error", "read_only": "-1", "delay_sec": "-1", "conn_nums": "-1",
			"last_check": strconv.FormatInt(time.Now().Unix(), 10),
		}
		if !slices.Contains(dead, server) {
			closed, readErr := server.ReadOnly(ctx)
			if readErr != nil {
				continue // just killed: the round that says so is the next
			}
			values["ping"], values["repl_check"], values["conn_nums"] = "1", "OK", "1"
			values["read_only"] = map[bool]string{true: "1", false: "0"}[closed]
		}
		err = errors.Join(err, p.redis.HSet(ctx, p.key(string(server.Addr())+"-check"), values).Err())
	}
	return err
}

// monitorLoop is the predecessor's monitor with interval=1, until stopped.
func (p perl) monitorLoop(dead func() []*harness.Server) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			if err := p.monitor(p.Context(), dead()...); err != nil && p.Context().Err() == nil {
				p.Errorf("write as the predecessor's monitor: %v", err)
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	}()
	return func() { close(done); <-ended }
}

// split takes a message apart as the predecessor's agent does: at ": " and ", ".
func split(message string) map[string]string {
	parts := regexp.MustCompile(`:\s|,\s`).Split(message, -1)
	meta := map[string]string{}
	for i := 0; i+1 < len(parts); i += 2 {
		meta[parts[i]] = parts[i+1]
	}
	return meta
}

// The predecessor's monitor and agent, our identify in the middle.
func TestPredecessorsMonitorAndAgent(t *testing.T) {
	s := prepare(t, options{daemons: []string{}, bothOpenUntil: time.Hour})
	p := perl{s, s.Redis.Client()}
	topic := p.redis.Subscribe(s.short(), harness.Topic)
	defer topic.Close()
	_, err := topic.Receive(s.short())
	s.must(err)
	next := func(within time.Duration) map[string]string {
		t.Helper()
		select {
		case m := <-topic.Channel():
			t.Logf("message: %s", m.Payload)
			return split(m.Payload)
		case <-time.After(within):
			t.Fatalf("no message within %v; record %+v", within, s.record())
		}
		return nil
	}
	// obey does what the predecessor's agent does with a message.
	obey := func(meta map[string]string) {
		t.Helper()
		for role, value := range map[string]string{"active": "0", "passive": "1"} {
			server := s.Pair.At(cluster.Endpoint(meta[role]))
			if server == nil {
				t.Fatalf("the message names %q as %s", meta[role], role)
			}
			if server.Process().Running() {
				s.must(server.Exec(s.short(), "SET GLOBAL read_only="+value))
			}
		}
	}
	var dead []*harness.Server
	stop := p.monitorLoop(func() []*harness.Server { return dead })
	defer func() { stop() }()
	s.start(harness.Identify)

	first := next(20 * time.Second)
	if first["active"] != string(s.a.Addr()) || first["passive"] != string(s.b.Addr()) || first["uniqsign"] != string(s.UniqSign) {
		t.Errorf("first message is %v", first)
	}
	obey(first)
	s.await(5*time.Second, func(ctx context.Context) error {
		return harness.Until(ctx, "the predecessor's mode and master are written", func(ctx context.Context) (bool, string) {
			mode, err := p.redis.HGetAll(ctx, p.key("mode")).Result()
			if err != nil {
				return false, err.Error()
			}
			master, err := p.redis.HGetAll(ctx, p.key("master")).Result()
			return err == nil && maps.Equal(mode, map[string]string{"active": string(s.a.Addr()), "passive": string(s.b.Addr())}) &&
				maps.Equal(master, map[string]string{"host": string(s.a.Addr())}), fmt.Sprint(mode, master, err)
		})
	})
	s.must(harness.Holds(s.Context(), 3*time.Second, "nothing more is published", func(context.Context) (bool, string) {
		select {
		case m := <-topic.Channel():
			return split(m.Payload)["active"] == string(s.a.Addr()), m.Payload
		default:
			return true, ""
		}
	}))

	s.a.Kill()
	stop()
	dead = []*harness.Server{s.a}
	stop = p.monitorLoop(func() []*harness.Server { return dead })
	second := next(20 * time.Second)
	if second["active"] != string(s.b.Addr()) || second["passive"] != string(s.a.Addr()) || second["uniqsign"] != string(s.UniqSign) {
		t.Errorf("message after the death of the active is %v", second)
	}
	if s.record().Proof != cluster.ProofLegacy {
		t.Errorf("proof is %q, want %q", s.record().Proof, cluster.ProofLegacy)
	}
}

// The predecessor's monitor and identify, our agent in the middle: the mode hash
// is the truth, the message says "look now".
func TestPredecessorsIdentify(t *testing.T) {
	s := prepare(t, options{daemons: []string{}})
	p := perl{s, s.Redis.Client()}
	var dead []*harness.Server
	stop := p.monitorLoop(func() []*harness.Server { return dead })
	defer func() { stop() }()
	s.start(harness.Agent)
	identify := func(active, passive *harness.Server) {
		t.Helper()
		s.must(p.redis.HSet(s.short(), p.key("mode"), "active", string(active.Addr()), "passive", string(passive.Addr())).Err())
		s.must(p.redis.HSet(s.short(), p.key("master"), "host", string(active.Addr())).Err())
		s.must(p.redis.Publish(s.short(), harness.Topic, fmt.Sprintf("active: %s, passive: %s, uniqsign: %s", active.Addr(), passive.Addr(), s.UniqSign)).Err())
	}
	follows := func(active *harness.Server) {
		t.Helper()
		s.await(15*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, string(active.Addr())+" is open and the other closed", func(ctx context.Context) (bool, string) {
				closed, err := active.ReadOnly(ctx)
				if err != nil || closed {
					return false, fmt.Sprintf("read_only %v, %v", closed, err)
				}
				if other := s.Pair.Other(active); other.Answers(ctx) {
					closed, err = other.ReadOnly(ctx)
					return err == nil && closed, "the other is open"
				}
				return true, ""
			})
		})
	}
	identify(s.a, s.b)
	follows(s.a)
	w := s.write(1, 5*time.Millisecond)
	identify(s.b, s.a)
	follows(s.b)
	s.more(w, 20)
	// A message that nobody hears costs time, never correctness.
	s.Daemon(harness.Agent).Kill()
	identify(s.a, s.b)
	s.must(s.Daemon(harness.Agent).Start())
	follows(s.a)
	s.more(w, 20)
	// An address that no member has is never touched, whatever a message says.
	s.must(p.redis.Publish(s.short(), harness.Topic, fmt.Sprintf("active: %s, passive: 127.0.0.1:1, uniqsign: %s", s.b.Addr(), s.UniqSign)).Err())
	s.must(p.redis.Publish(s.short(), harness.Topic, "active: , passive: nonsense").Err())
	s.must(harness.Holds(s.Context(), 1500*time.Millisecond, "the first host stays open", func(ctx context.Context) (bool, string) {
		closed, err := s.a.ReadOnly(ctx)
		return err == nil && !closed, fmt.Sprintf("read_only %v, %v", closed, err)
	}))
	s.a.Kill()
	stop()
	dead = []*harness.Server{s.a}
	stop = p.monitorLoop(func() []*harness.Server { return dead })
	identify(s.b, s.a)
	follows(s.b)
	tally := s.settle(s.b, w)
	t.Logf("%s", tally)
}

// What ours write has the predecessor's fields and form.
func TestOurWireIsThePredecessors(t *testing.T) {
	s := raise(t, options{})
	p := perl{s, s.Redis.Client()}
	ctx := s.short()
	for name, want := range map[string]string{
		"servicemode": "1", "primaryhost": string(s.a.Addr()), "secondaryhost": string(s.b.Addr()),
	} {
		if got, err := p.redis.Get(ctx, p.key(name)).Result(); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	members, err := p.redis.SMembers(ctx, p.key("members")).Result()
	s.must(err)
	slices.Sort(members)
	want := []string{string(s.a.Addr()), string(s.b.Addr())}
	slices.Sort(want)
	if !slices.Equal(members, want) {
		t.Errorf("members are %q, want %q", members, want)
	}
	// check waits for a hash of one server whose fields have exactly these forms.
	check := func(server *harness.Server, forms map[string]string) {
		t.Helper()
		s.await(10*time.Second, func(ctx context.Context) error {
			return harness.Until(ctx, "the check of "+string(server.Addr())+" has the predecessor's form", func(ctx context.Context) (bool, string) {
				got, err := p.redis.HGetAll(ctx, p.key(string(server.Addr())+"-check")).Result()
				if err != nil {
					return false, err.Error()
				}
				if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(forms))) {
					return false, fmt.Sprintf("fields %v", got)
				}
				for field, form := range forms {
					if !regexp.MustCompile(`^(?:` + form + `)$`).MatchString(got[field]) {
						return false, fmt.Sprintf("%s is %q, want %s", field, got[field], form)
					}
				}
				seconds, _ := strconv.ParseInt(got["last_check"], 10, 64)
				if age := time.Since(time.Unix(seconds, 0)); age < -2*time.Second || age > 10*time.Second {
					return false, fmt.Sprintf("last_check is %v old", age)
				}
				return true, ""
			})
		})
	}
	s.client(s.a, harness.AppUser)
	check(s.a, map[string]string{"ping": "1", "repl_check": "OK", "read_only": "0", "delay_sec": "0", "conn_nums": "1", "last_check": `\d+`})
	check(s.b, map[string]string{"ping": "1", "repl_check": "OK", "read_only": "1", "delay_sec": "0", "conn_nums": "0", "last_check": `\d+`})

	topic := p.redis.Subscribe(s.short(), harness.Topic)
	defer topic.Close()
	_, err = topic.Receive(s.short())
	s.must(err)
	before := s.record()
	s.a.Kill()
	s.moved(before, s.b)
	select {
	case m := <-topic.Channel():
		form := fmt.Sprintf("active: %s, passive: %s, uniqsign: %s, epoch: %d", s.b.Addr(), s.a.Addr(), s.UniqSign, before.Epoch+1)
		if m.Payload != form {
			t.Errorf("message is %q, want %q", m.Payload, form)
		}
		meta := split(m.Payload)
		if meta["active"] != string(s.b.Addr()) || meta["passive"] != string(s.a.Addr()) || meta["uniqsign"] != string(s.UniqSign) {
			t.Errorf("the predecessor's agent reads %v from it", meta)
		}
	case <-time.After(5 * time.Second):
		t.Error("no message on the topic")
	}
	mode, err := p.redis.HGetAll(s.short(), p.key("mode")).Result()
	s.must(err)
	if !maps.Equal(mode, map[string]string{"active": string(s.b.Addr()), "passive": string(s.a.Addr())}) {
		t.Errorf("mode is %v", mode)
	}
	master, err := p.redis.HGetAll(s.short(), p.key("master")).Result()
	s.must(err)
	if !maps.Equal(master, map[string]string{"host": string(s.b.Addr())}) {
		t.Errorf("master is %v", master)
	}
	check(s.a, map[string]string{"ping": "0", "repl_check": "Error", "read_only": "-1", "delay_sec": "-1", "conn_nums": "-1", "last_check": `\d+`})
	check(s.b, map[string]string{"ping": "1", "repl_check": "OK|Error", "read_only": "0", "delay_sec": `-1|0`, "conn_nums": `\d+`, "last_check": `\d+`})
	if strings.Contains(mode["active"], " ") {
		t.Errorf("mode has blanks: %v", mode)
	}
}
