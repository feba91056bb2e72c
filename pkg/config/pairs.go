package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// Pairs is mmm.conf, which the monitor, identify, mmm-status and mmmctl read.
type Pairs struct {
	Path  string
	Redis Redis
	Log   Log
	// Tags are the sections without a fault, in the order of the file.
	Tags []Tag

	faults *Faults
	names  []string // every tag of the file, faulty or not
}

// LoadPairs reads mmm.conf. Neither result is ever nil: a file that cannot be
// read has no tags and one fault.
func LoadPairs(path string) (*Pairs, *Faults) {
	f, mode := open(path)
	return f.pairs(mode)
}

func (f *file) pairs(mode fs.FileMode) (*Pairs, *Faults) {
	p := &Pairs{Path: f.path, faults: f.faults}
	if f.unusable() {
		return p, f.faults
	}
	f.permissions(mode)
	var signals Signals
	p.Redis, p.Log, signals = f.sharedSections()
	host, _ := os.Hostname()
	var all []Tag
	for _, sec := range f.sections {
		if sec.name == "redis" || sec.name == "log" {
			continue
		}
		p.names = append(p.names, sec.name)
		r := f.reader(sec)
		if f.isTag(r) {
			all = append(all, r.tag(signals, host))
			r.finish()
		}
	}
	if f.lost && f.section("redis") == nil {
		// Without it every program would turn to a Redis on its own machine.
		f.faults.add(Fault{File: f.path, Section: "redis", Text: "the section is missing, or its header is misspelt", Hint: "[redis] holds host, password and topic"})
	}
	f.compare(all)
	for _, t := range all {
		if !f.faults.hasErrorIn(string(t.Tag)) {
			p.Tags = append(p.Tags, t)
		}
	}
	if len(p.names) == 0 && len(f.faults.Errors()) == 0 {
		f.faults.add(Fault{File: f.path, Text: "there is no tag in it", Hint: "a tag is a section with primaryhost, secondaryhost and uniqsign: [mysql3308]"})
	}
	f.faults.sort()
	return p, f.faults
}

// Names are all tags of the file, faulty ones too, in its order.
func (p *Pairs) Names() []string { return slices.Clone(p.names) }

// Complete lists the tags of the file at path, for a shell's completion of
// --tag; none when it cannot be read.
func Complete(path string) []string {
	p, _ := LoadPairs(path)
	return p.Names()
}

// unusable reports a file that could not be taken apart at all.
func (f *file) unusable() bool {
	return len(f.sections) == 0 && slices.ContainsFunc(f.faults.list, func(x Fault) bool { return x.Line == 0 })
}

// isTag tells a tag from a section that is in the wrong place or misspelt.
func (f *file) isTag(r *reader) bool {
	name := r.sec.name
	switch {
	case strings.ContainsAny(name, ", \t") || name == "all":
		r.fault("", shown(name)+" cannot be the name of a tag", "one word without commas, and not all: --tag takes a list, or all")
		return false
	case r.given("primaryhost") || r.given("secondaryhost") || r.given("uniqsign"):
		return true
	}
	hint := "a tag has primaryhost, secondaryhost and uniqsign; the other sections are [redis] and [log]"
	if near := nearest(name, []string{"redis", "log"}); near != "" {
		f.lost = true
		hint = fmt.Sprintf("did you mean [%s]?", near)
	} else if name == "mysql" {
		hint = "this looks like mmm-agent.conf; here belongs mmm.conf"
	}
	r.fault("", "this section is no tag", hint)
	return false
}

// compare finds tags that would manage the same servers or share their keys in
// Redis. The later one is at fault: a new section must not stop the pair that
// was there before it.
func (f *file) compare(tags []Tag) {
	signs := map[cluster.UniqSign]cluster.Tag{}
	servers := map[string]cluster.Tag{}
	for _, t := range tags {
		r := f.reader(f.section(string(t.Tag)))
		if first, taken := signs[t.UniqSign]; taken && t.UniqSign != "" {
			r.fault("uniqsign", fmt.Sprintf("is that of tag [%s]", first), "each pair needs its own: mmm-uniqsign makes one")
		} else {
			signs[t.UniqSign] = t.Tag
		}
		for _, m := range []struct {
			key  string
			node cluster.Endpoint
		}{{"primaryhost", t.Primary}, {"secondaryhost", t.Secondary}} {
			if m.node == "" {
				continue
			}
			first, taken := servers[sameServer(m.node)]
			switch {
			case !taken:
				servers[sameServer(m.node)] = t.Tag
			case first == t.Tag:
				r.fault(m.key, fmt.Sprintf("%s is primaryhost too", m.node), "a pair has two servers")
			default:
				r.fault(m.key, fmt.Sprintf("%s belongs to tag [%s]", m.node, first), "a server is in one pair only")
			}
		}
	}
}

// sameServer folds the spellings of one address.
func sameServer(e cluster.Endpoint) string {
	host := strings.ToLower(e.Host())
	if host == "127.0.0.1" || host == "::1" {
		host = "localhost"
	}
	return fmt.Sprintf("%s:%d", host, e.Port())
}

// Select returns the tags that a program is to work for: those named, or all of
// them when names is empty or holds "all". With them come the faults and
// warnings that concern them; other tags' are left out.
//
// The error is *NoSuchTag for a name that the file does not have, and *Error
// when nothing can run: the file or its shared sections cannot be used, or every
// tag chosen is faulty. A faulty one beside a good one is left out, and its faults say so.
func (p *Pairs) Select(names []string) ([]Tag, *Faults, error) {
	all := len(names) == 0 || slices.Contains(names, "all")
	chosen := func(section string) bool { return all || slices.Contains(names, section) }
	mine := &Faults{list: p.faults.pick(func(x Fault) bool { return !slices.Contains(p.names, x.Section) || chosen(x.Section) })}
	shared := mine.pick(func(x Fault) bool {
		return !x.Warning && (x.Section == "redis" || x.Section == "log" || x.Section == "" && x.Line == 0)
	})
	if len(shared) > 0 {
		return nil, mine, &Error{mine.Errors()}
	}
	if !all {
		missing := &NoSuchTag{File: p.Path, Known: p.names}
		for _, n := range names {
			if !slices.Contains(p.names, n) {
				missing.Names = append(missing.Names, n)
			}
		}
		if len(missing.Names) > 0 {
			return nil, mine, missing
		}
	}
	var tags []Tag
	for _, t := range p.Tags {
		if chosen(string(t.Tag)) {
			tags = append(tags, t)
		}
	}
	if len(tags) == 0 {
		return nil, mine, &Error{mine.Errors()}
	}
	return tags, mine, nil
}

// GracefulSignals reports whether INT and TERM stop a program that works for
// tags: only when none of them wants the predecessor's way.
func GracefulSignals(tags []Tag) bool {
	return len(tags) > 0 && !slices.ContainsFunc(tags, func(t Tag) bool { return t.Signals != SignalsGraceful })
}

// NoSuchTag is the error for tags that are not in the file.
type NoSuchTag struct {
	File  string
	Names []string
	Known []string
}

// Error names the tags and the nearest ones that exist.
func (e *NoSuchTag) Error() string {
	return fmt.Sprintf("find tag %s in %s: there is no such section (%s)",
		strings.Join(e.Names, ", "), e.File, didYouMean(e.Names[0], e.Known))
}

// ExitCode is the exit code for it: no such tag or node.
func (e *NoSuchTag) ExitCode() int { return 7 }
