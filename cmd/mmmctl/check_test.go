package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/config"
	"github.com/mmm-manager/mmm-manager/pkg/mysqlnode"
)

// refusing is a server that refuses every login, and where it listens.
func refusing(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			body := append(binary.LittleEndian.AppendUint16([]byte{0xff}, 1045), "#28000Access denied for user 'mmm'@'127.0.0.1' (using password: YES)"...)
			_, _ = c.Write(append([]byte{byte(len(body)), 0, 0, 0}, body...))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-ended
	})
	return l.Addr().String()
}

func TestCheckOfARefusedLogin(t *testing.T) {
	text := strings.NewReplacer(string(nodeA), refusing(t), string(nodeB), refusing(t)).Replace(pairs("127.0.0.1:3"))
	conf, agent := write(t, "mmm.conf", text), write(t, "mmm-agent.conf", agentText)
	code, out, err := run("check", "--conf", conf, "--agent-conf", agent)
	if code != 5 {
		t.Errorf("exit %d, want 5", code)
	}
	const fix = "           fix, on the active, which cannot be told from here (it replicates): "
	for _, want := range []string{
		fix + "CREATE USER 'mmm'@'%' IDENTIFIED BY '<the password of [mysql3308] in " + conf + ">';",
		fix + "CREATE USER 'mmm'@'%' IDENTIFIED BY '<the password of [mysql] in " + agent + ">';",
		fix + "GRANT PROCESS, SLAVE MONITOR, BINLOG MONITOR ON *.* TO 'mmm'@'%';",
		fix + "GRANT PROCESS, REPLICATION CLIENT ON *.* TO 'mmm'@'%';",
	} {
		if strings.Count(out, want+"\n") != 2 {
			t.Errorf("not for both servers: %q", want)
		}
	}
	if !strings.Contains(err, "who is active in mysql3308, what is promised and what is in quarantine is not known: read everything of u1: redis 127.0.0.1:3") {
		t.Error("does not say what it looks at without Redis")
	}
	if strings.Contains(out+err, "canary") {
		t.Error("shows a password")
	}
	if t.Failed() {
		t.Log(out, err)
	}
}

func TestWhereStatementsBelong(t *testing.T) {
	const unknown, onA = "the active, which cannot be told from here (it replicates)", "the active 127.0.0.1:1 (it replicates)"
	is := func(t cluster.Tri) *mysqlnode.Facts { return &mysqlnode.Facts{ReadOnly: t} }
	pair := cluster.Pair{Primary: nodeA, Secondary: nodeB, ServiceMode: cluster.ActivePassive}
	for _, c := range []struct {
		name  string
		heard heard
		a, b  *mysqlnode.Facts
		mode  cluster.ServiceMode
		want  [2]string // under the headings of a and b
	}{
		{"by the bus, whatever the servers are", heard{roles: true, active: nodeA}, is(cluster.Yes), is(cluster.No), cluster.ActivePassive, [2]string{"", onA}},
		{"nobody has the role", heard{roles: true}, is(cluster.No), is(cluster.Yes), cluster.ActivePassive, [2]string{unknown, unknown}},
		{"the bus names a stranger", heard{roles: true, active: "127.0.0.1:9"}, is(cluster.No), is(cluster.Yes), cluster.ActivePassive, [2]string{"", onA}},
		{"before the first start", heard{}, is(cluster.No), is(cluster.Yes), cluster.ActivePassive, [2]string{"", onA}},
		{"both are closed", heard{}, is(cluster.Yes), is(cluster.Yes), cluster.ActivePassive, [2]string{unknown, unknown}},
		{"both are open", heard{}, is(cluster.No), is(cluster.No), cluster.ActivePassive, [2]string{unknown, unknown}},
		{"one is not seen", heard{}, is(cluster.No), nil, cluster.ActivePassive, [2]string{unknown, unknown}},
		{"both take writes by design", heard{}, is(cluster.No), is(cluster.Yes), cluster.ActiveActive, [2]string{unknown, unknown}},
	} {
		pair.ServiceMode = c.mode
		i := newInspector(config.Tag{Pair: pair}, nil, "mmm.conf", c.heard)
		i.facts = map[cluster.Endpoint]func() *mysqlnode.Facts{
			nodeA: func() *mysqlnode.Facts { return c.a }, nodeB: func() *mysqlnode.Facts { return c.b },
		}
		if got := [2]string{i.where(nodeA), i.where(nodeB)}; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestQuarantineIsWhatTheNewestReportSays(t *testing.T) {
	of := func(epoch cluster.Epoch, deed cluster.Deed, errant string) cluster.Report {
		return cluster.Report{Order: cluster.Order{Epoch: epoch, Version: 1}, Deed: deed, Errant: errant}
	}
	reports := func(list ...cluster.Report) map[string]cluster.Report {
		m := map[string]cluster.Report{}
		for i, r := range list {
			m[string(rune('a'+i))] = r
		}
		return m
	}
	for _, c := range []struct {
		name    string
		reports map[string]cluster.Report
		want    string
	}{
		{"nobody reports", nil, ""},
		{"closed", reports(of(3, cluster.DeedClosed, "")), ""},
		{"quarantine", reports(of(3, cluster.DeedQuarantine, "0-1-9")), "0-1-9"},
		{"one of two agents", reports(of(3, cluster.DeedQuarantine, "0-1-9"), of(3, cluster.DeedClosed, "")), "0-1-9"},
		{"an agent that went away before", reports(of(2, cluster.DeedQuarantine, "0-1-9"), of(3, cluster.DeedClosed, "")), ""},
		{"without a set", reports(of(3, cluster.DeedQuarantine, "")), "its agent does not say which"},
	} {
		s := cluster.Snapshot{Assignment: cluster.Assignment{Epoch: 3, Version: 1, Active: nodeA}, Reports: map[cluster.Endpoint]map[string]cluster.Report{nodeB: c.reports}}
		if got := heardOf(s).quarantine[nodeB]; got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
		s.Assignment.Active = nodeB
		if got := heardOf(s).quarantine[nodeB]; got != "" {
			t.Errorf("%s: the active is in quarantine: %q", c.name, got)
		}
	}
}

// What a server told of its next start counts, whoever was told, and one that may come up open is one that does.
func TestHowAServerComesUpIsWhatItTold(t *testing.T) {
	const unknown, yes, no = cluster.Unknown, cluster.Yes, cluster.No
	type list []cluster.Tri
	for _, c := range []struct {
		name     string
		monitors list
		agents   map[cluster.Epoch]list // by the order that they have read
		want     cluster.Tri
	}{
		{"nobody", list{unknown, unknown}, map[cluster.Epoch]list{3: {unknown}}, unknown},
		{"a monitor", list{unknown, yes, unknown}, nil, yes},
		{"an agent", list{unknown}, map[cluster.Epoch]list{3: {yes}}, yes},
		{"one of two agents", nil, map[cluster.Epoch]list{3: {yes, unknown}}, yes},
		{"one monitor otherwise", list{yes, no, yes}, map[cluster.Epoch]list{3: {yes}}, no},
		{"the agent otherwise", list{yes}, map[cluster.Epoch]list{3: {no}}, no},
		{"an agent that went away before", list{unknown}, map[cluster.Epoch]list{2: {no, yes}, 3: {unknown}}, unknown},
	} {
		views, reports := map[string]cluster.Observation{}, map[string]cluster.Report{}
		for i, told := range c.monitors {
			views[fmt.Sprint(i)] = cluster.Observation{Server: cluster.Server{StartsClosed: told}, ReadOnlyAtStart: no}
		}
		for epoch, told := range c.agents {
			for i := range told {
				reports[fmt.Sprint(epoch, i)] = cluster.Report{Order: cluster.Order{Epoch: epoch, Version: 1}, StartsClosed: told[i]}
			}
		}
		h := heardOf(cluster.Snapshot{Observations: map[cluster.Endpoint]map[string]cluster.Observation{nodeB: views},
			Reports: map[cluster.Endpoint]map[string]cluster.Report{nodeB: reports}})
		if got := h.told[nodeB]; got != c.want {
			t.Errorf("%s was told: %v, want %v", c.name, got, c.want)
		}
	}
}
