package config

import (
	"encoding/pem"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

const goodPair = `primaryhost=10.0.21.5:3308
secondaryhost=10.0.21.7:3308
user=user_mmm
password=hunter2
uniqsign=8d9a4b2924dc40baa792d742cb786345
`

func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mmm.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPredecessorsPairs(t *testing.T) {
	p, faults := LoadPairs("testdata/predecessor/mmm.conf")
	if err := faults.ErrStrict(); err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	want := []Tag{{
		Pair: cluster.Pair{Tag: "mysql3308", UniqSign: "8d9a4b2924dc40baa792d742cb786345",
			Primary: "10.0.21.5:3308", Secondary: "10.0.21.7:3308", ServiceMode: cluster.ActivePassive},
		Database: "information_schema", Charset: "utf8", User: "user_mmm", Password: "xxxxxxxx",
		ExcludeUsers:   []string{"root", "monitor", "user_replica"},
		ConnectTimeout: time.Second, Interval: 3 * time.Second, TryTimes: 2,
		MonitorLog: "/var/log/mmm-manager/mmm-monitor-3308.log", IdentifyLog: "/var/log/mmm-manager/mmm-identify-3308.log",
		FailoverBlock: time.Minute, Unfenced: UnfencedAuto, Signals: SignalsPredecessor,
		Failback: "follow", FailbackAfter: time.Minute, Durability: cluster.Async, MaxLoss: "any",
		MonitorID: host, EpochTable: "mmm_meta.epoch",
	}}
	if diff := cmp.Diff(want, p.Tags); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if p.Tags[0].Password.Reveal() != "xxxxxxxx" {
		t.Error("the password is not the one in the file")
	}
	if diff := cmp.Diff(Redis{Addr: "10.0.21.17:6379", Topic: "mmm-switch-channel"}, p.Redis); diff != "" {
		t.Error(diff)
	}
	if p.Log.File != "/var/log/mmm-manager/mmm-monitor.log" {
		t.Error(p.Log.File)
	}
}

func TestPredecessorsAgent(t *testing.T) {
	a, faults := LoadAgent("testdata/predecessor/mmm-agent.conf")
	if err := faults.ErrStrict(); err != nil {
		t.Fatal(err)
	}
	want := &Agent{
		Path:     "testdata/predecessor/mmm-agent.conf",
		Redis:    Redis{Addr: "10.0.21.17:6379", Topic: "mmm-switch-channel"},
		Log:      Log{File: "/var/log/mmm-manager/mmm-agent.log"},
		Database: "information_schema", Charset: "utf8", User: "user_mmm", Password: "xxxxxxxx",
		ConnectTimeout: time.Second, TryOnFailure: 3, Signals: SignalsPredecessor,
		BlockUser: regexp.MustCompile(`(?i)^user_app1|^user_app2$`), BlockHost: regexp.MustCompile(`(?i)^10\.0\.21\.%$`),
		StateFile: DefaultStateFile, SendMail: true,
		Email: Email{Server: "10.0.21.5", Port: 25, Sender: "mmm_manager@mmm.com", Receivers: []string{"arstercz@gmail.com"}, TLS: "opportunistic"},
		Scope: "all", Lone: "fence", Lease: 10 * time.Second,
	}
	samePattern := cmp.Comparer(func(a, b *regexp.Regexp) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, a, samePattern); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	for _, user := range []string{"user_app1", "USER_APP1", "user_app1_ro", "user_app2"} {
		if !a.BlockUser.MatchString(user) {
			t.Errorf("block_user does not match %s", user)
		}
	}
	if a.BlockUser.MatchString("user_app2_ro") || a.BlockHost.MatchString("10.0.21.7") {
		t.Error("the patterns match too much")
	}
}

// The files of the predecessor's readme carry comments behind values.
func TestInlineCommentsOfTheReadme(t *testing.T) {
	p, faults := parse("mmm.conf", []byte(`[mysql3308] # tag
primaryhost=10.0.21.5:3308 # primary select as active master.
secondaryhost=10.0.21.7:3308
excludeuser=root, monitor, user_replica # ignore when count mysql running thread.
user=user_mmm # monitor user, need privileges: SELECT, PROCESS
password=xxxxxxxx
uniqsign=8d9a4b2924dc40baa792d742cb786345 # uniquely identifies a MySQL instance
servicemode=1 # 0: active-active, 1: active-passive, currently only support 1
connect_timeout=0.3	; a third
[redis]
host=10.0.21.17:6379
password='xxxxx' # this option is optional, if redis require password
`)).pairs(0o600)
	if len(faults.All()) > 0 || len(p.Tags) != 1 {
		t.Fatal(faults.All())
	}
	tag := p.Tags[0]
	if tag.Primary != "10.0.21.5:3308" || tag.User != "user_mmm" || !slices.Equal(tag.ExcludeUsers, []string{"root", "monitor", "user_replica"}) ||
		tag.ConnectTimeout != 300*time.Millisecond || p.Redis.Password.Reveal() != "xxxxx" {
		t.Errorf("%+v %+v", tag, p.Redis)
	}
}

func TestValues(t *testing.T) {
	for raw, want := range map[string]string{
		`x # text`: "x", `'xxxxx' # c`: "xxxxx", `ab#cd;ef`: "ab#cd;ef", `'xx#yy'`: "xx#yy", `"xx#yy;zz"`: "xx#yy;zz",
		`^10\.12\.17\.%$`: `^10\.12\.17\.%$`, `^(a|b)@(10\.0\.%|%)$  # c`: `^(a|b)@(10\.0\.%|%)$`, `a\\b`: `a\\b`, `end\`: `end\`,
		`100%`: "100%", `%(user)s`: "%(user)s", "`x": "`x", "`x`": "`x`", "a`b": "a`b", `'a #b'`: "a #b", `"a ;b" # c`: "a ;b",
		`x ; y # z`: "x", "x\t# y": "x", ` # only a comment`: "", `#x`: "#x", `;x`: ";x", `''`: "", `""`: "", `' '`: " ",
		`' a '`: " a ", `"'abc"`: "'abc", `'a"'`: `a"`, `"""`: `"""`, `a=b=c`: "a=b=c", `x'y`: "x'y", `passw"rd`: `passw"rd`, `x"`: `x"`,
	} {
		f := parse("x", []byte("[s]\nbefore=1\nkey="+raw+"\nafter=2\n"))
		s := f.section("s")
		if len(f.faults.All()) > 0 || s.entries["before"].value != "1" || s.entries["after"].value != "2" {
			t.Errorf("%s: %v %v", raw, f.faults.All(), s.entries)
		}
		if got := s.entries["key"].value; got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	fifo, huge := filepath.Join(dir, "fifo"), filepath.Join(dir, "huge")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(huge, []byte(strings.Repeat("# x\n", maxSize/4+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]string{
		filepath.Join(dir, "none"): "there is no such file",
		dir:                        "is a directory",
		fifo:                       "is not a regular file",
		"/dev/zero":                "is not a regular file",
		huge:                       "more than 1048576",
		filepath.Join(huge, "x"):   "not a directory",
	}
	if os.Getuid() != 0 {
		cases[write(t, goodPair, 0o000)] = "permission denied"
	}
	for path, want := range cases {
		p, faults := LoadPairs(path)
		if err := faults.Err(); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), path+": ") {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		var ce *Error
		if _, _, err := p.Select([]string{"mysql3308"}); !errors.As(err, &ce) || ce.ExitCode() != 78 {
			t.Errorf("%s: %v", path, err)
		}
		a, faults := LoadAgent(path)
		if err := faults.Err(); err == nil || a == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

func TestPermissions(t *testing.T) {
	good := "[mysql3308]\n" + goodPair
	for _, c := range []struct {
		text string
		mode os.FileMode
		want string
	}{
		{good, 0o640, ""},
		{good, 0o644, "everyone on this machine can read it (mode 0644)"},
		{strings.ReplaceAll(good, "hunter2", ""), 0o644, ""},
		{strings.ReplaceAll(good, "hunter2", ""), 0o646, "everyone on this machine can change it"},
	} {
		_, faults := LoadPairs(write(t, c.text, c.mode))
		var got []string
		for _, x := range faults.All() {
			got = append(got, x.String())
			if !x.Warning {
				t.Errorf("mode %o: %s", c.mode, x)
			}
		}
		if (c.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("mode %o: %q, want %q", c.mode, got, c.want)
		}
	}
}

func TestSelect(t *testing.T) {
	const second = `[second]
primaryhost=10.0.22.5:3308
secondaryhost=10.0.22.7:3308
user=user_mmm
password=hunter2
uniqsign=1d9a4b2924dc40baa792d742cb786345
signals=graceful
`
	text := "[first]\n" + goodPair + second + "[broken]\nprimaryhost=x\n[log]\nlogfil=/x\n"
	for _, c := range []struct {
		name, text string
		names      []string
		want       []cluster.Tag
		code       int
		faults     int
	}{
		{"all, the broken one left out", text, []string{"all"}, []cluster.Tag{"first", "second"}, 0, 6},
		{"no names is all", text, nil, []cluster.Tag{"first", "second"}, 0, 6},
		{"one", text, []string{"second"}, []cluster.Tag{"second"}, 0, 1},
		{"a good and a broken one", text, []string{"broken", "first"}, []cluster.Tag{"first"}, 0, 6},
		{"the broken one", text, []string{"broken"}, nil, 78, 6},
		{"no part of a name is enough", text, []string{"fir"}, nil, 7, 1},
		{"not the shared sections", text, []string{"log"}, nil, 7, 1},
		{"a broken shared section", text + "[redis]\nhost=x\n", []string{"first"}, nil, 78, 2},
		{"no tag", "[redis]\nhost=127.0.0.1:6379\n", nil, nil, 78, 1},
		{"nothing but a broken header", "[redis\nhost=127.0.0.1:6379\n", nil, nil, 78, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := parse("mmm.conf", []byte(c.text)).pairs(0o600)
			tags, faults, err := p.Select(c.names)
			var got []cluster.Tag
			for _, tag := range tags {
				got = append(got, tag.Tag)
			}
			if !slices.Equal(got, c.want) || len(faults.All()) != c.faults {
				t.Errorf("got %v, faults %v", got, faults.All())
			}
			var coded interface{ ExitCode() int }
			if errors.As(err, &coded); (err == nil) != (c.code == 0) || err != nil && coded.ExitCode() != c.code {
				t.Errorf("got %v", err)
			}
		})
	}
	p, _ := parse("mmm.conf", []byte(text)).pairs(0o600)
	if got := p.Names(); !slices.Equal(got, []string{"first", "second", "broken"}) {
		t.Errorf("names %v", got)
	}
	_, _, err := p.Select([]string{"frist"})
	if want := `find tag frist in mmm.conf: there is no such section (did you mean "first"?)`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	if GracefulSignals(p.Tags) || !GracefulSignals(p.Tags[1:]) || GracefulSignals(nil) {
		t.Error("graceful is for those alone who all ask for it")
	}
}

func TestComplete(t *testing.T) {
	if got := Complete("testdata/pairs/shared-servers-and-signs.conf"); len(got) != 5 || got[0] != "first" {
		t.Errorf("got %v", got)
	}
	if got := Complete(t.TempDir()); got != nil {
		t.Errorf("got %v", got)
	}
}

func TestSignalsOfASharedSectionHoldForAllTags(t *testing.T) {
	p, faults := parse("mmm.conf", []byte("[a]\n"+goodPair+"[log]\nsignals=Graceful\n")).pairs(0o600)
	if len(faults.All()) > 0 || p.Tags[0].Signals != SignalsGraceful {
		t.Error(faults.All(), p.Tags)
	}
	a, faults := parse("mmm-agent.conf", []byte("[redis]\nhost=127.0.0.1:6379\nsignals=graceful\n[mysql]\nuser=u\npassword=\n")).agent(0o600)
	if len(faults.All()) > 0 || a.Signals != SignalsGraceful {
		t.Error(faults.All(), a.Signals)
	}
}

func TestCertificatesForMail(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	huge := file("huge.pem", ca)
	if err := os.Truncate(huge, 1<<30); err != nil {
		t.Fatal(err)
	}
	const tooLong = " bytes long, more than 1048576"
	for path, want := range map[string]string{
		file("ca.pem", ca):                         "",
		file("ca.pem", ca) + "\nemail_tls=off":     "vouches for nobody while email_tls is off",
		file("key.pem", "no certificate: hunter2"): "holds no certificate",
		file("big.pem", strings.Repeat(ca, 2000)):  "is " + fmt.Sprint(2000*len(ca)) + tooLong,
		huge:                       "is 1073741824" + tooLong,
		file("nothing.pem", " \n"): "is empty",
		file("ca.der", string(s.Certificate().Raw)): "is binary, not PEM (openssl x509 ",
		dir:                         "is a directory",
		pipe:                        "is not a regular file",
		"/dev/zero":                 "is not a regular file",
		filepath.Join(dir, "other"): "cannot be read: no such file",
	} {
		a, faults := parse("mmm-agent.conf", []byte("[mysql]\nuser=u\npassword=\nemail_tls_ca="+path+"\n[redis]\nhost=127.0.0.1:6379\n")).agent(0o600)
		good := want == "" || strings.Contains(path, "off")
		if (a.Email.CA == ca) != good {
			t.Errorf("%s: %d bytes of certificates", path, len(a.Email.CA))
		}
		var told []string
		for _, x := range faults.All() {
			told = append(told, x.String())
		}
		all := strings.Join(told, "\n")
		if (want == "") != (all == "") || !strings.Contains(all, want) || want != "" && !strings.HasPrefix(all, "mmm-agent.conf:4: ") || strings.Contains(all, "hunter2") {
			t.Errorf("%s: %s", path, all)
		}
	}
}

// A fault that only mail has never keeps an agent from closing servers: it is
// an error for a check of the file, and nothing but a warning without send_mail.
func TestAFaultOfMailStopsOnlyMail(t *testing.T) {
	const receiver = "email_receiver=dba@example.com\n"
	for lines, key := range map[string]string{
		receiver + "email_tls_ca=/nonexistent/ca.pem": "email_tls_ca",
		receiver + "email_tls_ca":                     "email_tls_ca",
		receiver + "email_port=smtp":                  "email_port",
		receiver + "email_tls=requird":                "email_tls",
		receiver + "email_server=mail server":         "email_server",
		receiver + "email_sender=nobody":              "email_sender",
		receiver + "email_password='hunter2":          "email_password",
		"email_receiver=dba@example.com, somebody":    "email_receiver",
		"":       "email_receiver",
		receiver: "",
		receiver + "email_server=10.0.21.5\nemail_port=25": "",
	} {
		for _, send := range []string{"1", "0", "maybe"} {
			a, faults := parse("mmm-agent.conf", []byte("[mysql]\nuser=u\npassword=p\nsend_mail="+send+"\n"+lines+"\n[redis]\nhost=127.0.0.1:6379\n")).agent(0o600)
			if err := faults.Err(); err != nil || a.User != "u" {
				t.Errorf("send_mail=%s %q stops the agent: %v", send, lines, err)
			}
			said := key
			switch send {
			case "0":
				said = ""
			case "maybe":
				said = "send_mail"
			}
			checked := faults.ErrStrict()
			if a.SendMail != (send != "0") || (a.Email.Fault != "") != (said != "") || !strings.HasPrefix(a.Email.Fault, said) || (checked != nil) != (said != "") {
				t.Errorf("send_mail=%s %q: sends %v, fault %q, a check says %v", send, lines, a.SendMail, a.Email.Fault, checked)
			}
			// What stands there is never passed over, only what is missing without need.
			if key != "" && (send != "0" || lines != "") && len(faults.Warnings()) == 0 {
				t.Errorf("send_mail=%s %q: nothing is said", send, lines)
			}
			if strings.Contains(fmt.Sprint(faults.All(), a.Email.Fault), "hunter2") {
				t.Errorf("a password is shown: %v", faults.All())
			}
		}
	}
}

func TestMaxLoss(t *testing.T) {
	type limit struct {
		transactions int64
		age          time.Duration
	}
	for text, want := range map[string]limit{"": {-1, 0}, "any": {-1, 0}, "0": {0, 0}, "0s": {0, 0}, "5": {5, 0}, "5s": {-1, 5 * time.Second},
		"9223372036854775807": {1<<63 - 1, 0}, "9223372036854775807s": {-1, 9223372036 * time.Second}} {
		p, faults := parse("x", []byte("[a]\n"+goodPair+"max_loss="+text)).pairs(0o600)
		if err := faults.ErrStrict(); err != nil || (limit{p.Tags[0].LossLimit(), p.Tags[0].LossAge()}) != want || len(faults.Warnings()) > 0 {
			t.Errorf("%q: %v %v", text, p.Tags, faults.All())
		}
	}
	for _, text := range []string{"none", "-1", "+1", "5 s", "s", "1.5", "9223372036854775808", "5ss"} {
		if p, _ := parse("x", []byte("[a]\n"+goodPair+"max_loss="+text)).pairs(0o600); len(p.Tags) > 0 {
			t.Errorf("%q: %v", text, p.Tags)
		}
	}
}

func TestMembers(t *testing.T) {
	a, faults := parse("x", []byte("[mysql]\nuser=u\npassword=\nmembers=U1 10.0.21.5:3308 [::1]:3308; U2 db1:1 db2:1;\n")).agent(0o600)
	if err := faults.ErrStrict(); err != nil {
		t.Fatal(err)
	}
	want := map[cluster.UniqSign][]cluster.Endpoint{"U1": {"10.0.21.5:3308", "[::1]:3308"}, "U2": {"db1:1", "db2:1"}}
	if diff := cmp.Diff(want, a.Members); diff != "" {
		t.Error(diff)
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	p, _ := parse("x", []byte("[a]\n"+goodPair)).pairs(0o600)
	if out := fmt.Sprintf("%v %+v %#v", p.Tags[0], p.Tags[0], p.Tags[0]); strings.Contains(out, "hunter2") {
		t.Error(out)
	}
}

func TestNearest(t *testing.T) {
	known := []string{"connect_timeout", "interval", "password", "user"}
	for word, want := range map[string]string{
		"interval": "interval", "intreval": "interval", "INTERVAL": "interval", "connect-timeout": "connect_timeout",
		"connecttimeout": "connect_timeout", "usr": "user", "colour": "", "": "", "passwd": "password", strings.Repeat("x", 200): "",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"abc", "abd", 1}, {"abc", "acb", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.a, c.b); got != c.want || distance(c.b, c.a) != c.want {
			t.Errorf("%s %s: got %d", c.a, c.b, got)
		}
	}
}

// The files in etc load as they are and show every key there is.
func TestExampleFiles(t *testing.T) {
	for name, keys := range map[string]func(*file) map[string][]string{
		"mmm.conf": func(f *file) map[string][]string {
			tag, redis := f.reader(f.section("mysql3308")), f.reader(f.section("redis"))
			tag.tag("", "")
			redis.redis()
			return map[string][]string{"mysql3308": tag.asked, "redis": redis.asked}
		},
		"mmm-agent.conf": func(f *file) map[string][]string {
			mysql, redis := f.reader(f.section("mysql")), f.reader(f.section("redis"))
			mysql.agent(&Agent{}, "")
			redis.redis()
			return map[string][]string{"mysql": mysql.asked, "redis": redis.asked}
		},
	} {
		data, err := os.ReadFile(filepath.Join("..", "..", "etc", name))
		if err != nil {
			t.Fatal(err)
		}
		var faults *Faults
		if name == "mmm.conf" {
			_, faults = parse(name, data).pairs(0o640)
		} else {
			_, faults = parse(name, data).agent(0o640)
		}
		if all := faults.All(); len(all) > 0 {
			t.Errorf("%s as it is: %v", name, all)
		}
		f := parse(name, data)
		for section, asked := range keys(f) {
			_, text, _ := strings.Cut(string(data), "\n["+section+"]")
			text, _, _ = strings.Cut(text, "\n[")
			for _, key := range asked {
				if key != "signals" && !strings.Contains(text, "\n"+key+"=") && !strings.Contains(text, "\n#"+key+"=") {
					t.Errorf("%s: section %s does not show %s", name, section, key)
				}
			}
		}
		// With every optional key switched on there is nothing unknown in it.
		on := strings.ReplaceAll(string(data), "\n#", "\n")
		var kept []string
		for line := range strings.SplitSeq(on, "\n") {
			if key, _, ok := strings.Cut(line, "="); strings.HasPrefix(line, "[") || ok && isName(key) {
				kept = append(kept, line)
			}
		}
		f = parse(name, []byte(strings.Join(kept, "\n")))
		if name == "mmm.conf" {
			_, faults = f.pairs(0o640)
		} else {
			_, faults = f.agent(0o640)
		}
		if err := faults.ErrStrict(); err != nil {
			t.Errorf("%s with everything on: %v", name, err)
		}
	}
}
