package config

import (
	"net"
	"testing"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

func addrs(t *testing.T, all ...string) []net.Addr {
	t.Helper()
	var out []net.Addr
	for _, text := range all {
		ip, network, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	return out
}

func TestWhatIsOnThisHost(t *testing.T) {
	here := hostOf("db1.example.com", addrs(t, "127.0.0.1/8", "10.0.21.5/24", "::1/128", "fd00::5/64", "fe80::1/64"))
	short := hostOf("db1", nil)
	for e, want := range map[cluster.Endpoint][2]bool{
		"10.0.21.5:3308":          {true, false},
		"10.0.21.50:3308":         {false, false},
		"10.0.21.7:3308":          {false, false},
		"127.0.0.1:3308":          {true, true},
		"127.0.1.1:3308":          {true, true},
		"localhost:3308":          {true, true},
		"[::1]:3308":              {true, true},
		"[fd00::5]:3308":          {true, false},
		"[fd00:0::5]:3308":        {true, false},
		"[fd00::7]:3308":          {false, false},
		"[fe80::1%eth0]:3308":     {true, false},
		"[::ffff:10.0.21.5]:3308": {true, false},
		"db1.example.com:3308":    {true, true},
		"DB1.example.com.:3308":   {true, true},
		"db1:3308":                {true, true},
		"db1.example.org:3308":    {false, true},
		"db10:3308":               {false, false},
		"db2.example.com:3308":    {false, false},
		"":                        {false, false},
	} {
		if got := [2]bool{here.Has(e), short.Has(e)}; got != want {
			t.Errorf("%s: on db1.example.com and on db1 %v, want %v", e, got, want)
		}
	}
	if (Host{Names: []string{""}}).Has("") {
		t.Error("nothing is on a host without a name")
	}
}

func TestWhatThisAgentWorksOn(t *testing.T) {
	here := hostOf("db1", addrs(t, "10.0.21.5/24"))
	const mine, other = cluster.Endpoint("10.0.21.5:3308"), cluster.Endpoint("10.0.21.7:3308")
	for _, c := range []struct {
		text        string
		mine, other bool
	}{
		{"", true, true},
		{"scope=local\n", true, false},
		{"scope=local\nlocal=10.0.21.7:3308\n", false, true}, // its address is another machine's, by NAT
		{"scope=local\nlocal=10.0.21.7:3308, 10.0.21.5:3308\n", true, true},
		{"local=10.0.21.7:3308\n", true, true},
	} {
		a, faults := parse("mmm-agent.conf", []byte("[mysql]\nuser=u\npassword=x\n"+c.text+"[redis]\nhost=h:1\n")).agent(0o600)
		if err := faults.Err(); err != nil {
			t.Fatal(err)
		}
		if got := [2]bool{a.Mine(mine, here), a.Mine(other, here)}; got != [2]bool{c.mine, c.other} {
			t.Errorf("%q: works on %v", c.text, got)
		}
	}
}

func TestThisHostHasALoopback(t *testing.T) {
	h, err := ThisHost()
	if err != nil {
		t.Fatal(err)
	}
	if len(h.Names) != 1 || !h.Has(cluster.Endpoint(h.Names[0]+":3306")) {
		t.Errorf("%+v does not know its own name", h)
	}
	for _, a := range h.Addrs {
		if !h.Has(cluster.Endpoint(net.JoinHostPort(a.String(), "3306"))) {
			t.Errorf("%s is not its own", a)
		}
	}
}

func TestOnlyTheFirstMonitorNamedWritesChecks(t *testing.T) {
	for _, c := range []struct {
		monitors string
		want     bool
	}{
		{"", true},
		{"monitor_id=m2\n", true},
		{"monitors=m1, m2, m3\nmonitor_id=m1\n", true},
		{"monitors=m1, m2, m3\nmonitor_id=m2\n", false},
		{"monitors=m1, m2, m3\n", false}, // this host is none of them
	} {
		p, faults := parse("mmm.conf", []byte("[t]\n"+goodPair+c.monitors+"[redis]\nhost=h:1\n")).pairs(0o600)
		if err := faults.ErrStrict(); err != nil || len(p.Tags) != 1 {
			t.Fatal(err, p.Tags)
		}
		if got := p.Tags[0].WritesChecks(); got != c.want {
			t.Errorf("%q: writes checks: %v", c.monitors, got)
		}
	}
}
