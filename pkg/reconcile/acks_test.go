package reconcile_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/reconcile"
)

func TestAcknowledgements(t *testing.T) {
	order := cluster.Order{Epoch: 5, Version: 3}
	promises := func(d cluster.Durability, waits bool, eligible ...cluster.Endpoint) func(*input) {
		return func(in *input) { in.Record.Durability, in.Record.Waits, in.Record.Eligible = d, waits, eligible }
	}
	source := func(is cluster.Tri) func(*input) { return func(in *input) { in.Mine.Server.Acks.Source = is } }
	theirs := func(is cluster.Tri) func(*input) { return func(in *input) { in.Theirs.Server.Acks.Source = is } }
	replica := func(is cluster.Tri) func(*input) { return func(in *input) { in.Mine.Server.Acks.Replica = is } }
	awaited := func(o cluster.Order) func(*input) { return func(in *input) { in.Memory.Awaited = o } }
	letGo := func(o cluster.Order) func(*input) { return func(in *input) { in.Memory.LetGo = o } }
	failed := func(in *input) { in.Memory.AcksAfter = in.Now + time.Second }
	semi, strict := cluster.SemiSync, cluster.SemiSyncStrict
	await, letGone, acknowledge := kinds(reconcile.Await), kinds(reconcile.LetGo), kinds(reconcile.Acknowledge)
	before := cluster.Order{Epoch: 5, Version: 2}

	for name, row := range map[string]struct {
		in   reconcile.Input
		want []reconcile.Kind
	}{
		"the active's commits are made to wait":                                 {given(onActive, promises(semi, true, b), source(cluster.No)), await},
		"also where that is not known yet":                                      {given(onActive, promises(semi, true, b)), await},
		"that is seen to under each record while the passive may not take over": {given(onActive, promises(semi, true), source(cluster.Yes), awaited(before)), await},
		"once under each": {given(onActive, promises(semi, true), source(cluster.Yes), awaited(order)), nil},
		"once the passive may take over what was seen to lasts":                    {given(onActive, promises(semi, true, b), source(cluster.Yes), awaited(before)), nil},
		"not again at once where it failed":                                        {given(onActive, promises(semi, true, b), source(cluster.No), failed), nil},
		"while the record has them wait nobody lets them go, the passive gone":     {given(onActive, promises(semi, true, b), source(cluster.Yes), peerFails(cluster.CauseRefused, 9)), kinds(reconcile.StopIO)},
		"neither where the promise is strict":                                      {given(onActive, promises(strict, true), source(cluster.Yes), awaited(order), peerFails(cluster.CauseRefused, 9)), kinds(reconcile.StopIO)},
		"they are let go once the record says so":                                  {given(onActive, promises(semi, false), source(cluster.Yes)), letGone},
		"under each record":                                                        {given(onActive, promises(semi, false), source(cluster.Yes), letGo(before)), letGone},
		"once under each, though it shows otherwise":                               {given(onActive, promises(semi, false), source(cluster.Yes), letGo(order)), nil},
		"not at once again where that failed":                                      {given(onActive, promises(semi, false), source(cluster.Yes), failed), nil},
		"nothing is let go that does not wait":                                     {given(onActive, promises(semi, false), source(cluster.No)), nil},
		"an active that cannot wait yet is taught before a receiver needs it":      {given(onActive, promises(semi, false)), letGone},
		"one whose pair promises nothing is not":                                   {given(onActive, promises(cluster.Async, false)), nil},
		"what waits where nothing is promised any more is let go":                  {given(onActive, promises(cluster.Async, false), source(cluster.Yes)), letGone},
		"a paused pair's commits are let go as well":                               {given(onActive, promises(semi, false), source(cluster.Yes), paused), letGone},
		"a closed passive waits for nobody":                                        {given(promises(semi, true, b), source(cluster.Yes), replica(cluster.Yes)), letGone},
		"one that cannot wait is not taught":                                       {given(promises(semi, true, b), replica(cluster.Yes)), nil},
		"the passive's receiver is made to acknowledge":                            {given(promises(semi, false), theirs(cluster.No), replica(cluster.No)), acknowledge},
		"also where it is not known yet whether it does":                           {given(promises(strict, true), theirs(cluster.Yes)), acknowledge},
		"not where it does":                                                        {given(promises(semi, true), theirs(cluster.Yes), replica(cluster.Yes)), nil},
		"not where nothing is promised":                                            {given(promises(cluster.Async, false), theirs(cluster.Yes), replica(cluster.No)), nil},
		"not towards an active that would not listen":                              {given(promises(semi, false), replica(cluster.No)), nil},
		"not in a pair that is paused":                                             {given(promises(semi, false), theirs(cluster.No), replica(cluster.No), paused), nil},
		"not again at once where that failed, and then it is not let go either":    {given(promises(semi, false), theirs(cluster.No), source(cluster.Yes), replica(cluster.No), failed), nil},
		"not while its receiver is not connected":                                  {given(promises(semi, false), theirs(cluster.No), threads(cluster.ThreadConnecting, cluster.ThreadYes)), nil},
		"not while nothing is applied: a receiver that stops beside that discards": {given(promises(semi, false), theirs(cluster.No), threads(cluster.ThreadYes, cluster.ThreadNo), func(in *input) { in.Memory.StartAfter = in.Now + time.Second }), nil},
		"not one that is in quarantine":                                            {given(promises(semi, false), theirs(cluster.No), executed(u1+":1-10,"+u2+":1"), suspected(u2+":1", time.Minute)), kinds(reconcile.StopReplication)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(row.want, kindsOf(reconcile.Decide(row.in))); diff != "" {
				t.Errorf("steps (-want +got):\n%s", diff)
			}
		})
	}
}

// MySQL lists a transaction only once it is acknowledged, and the passive may have
// applied it before.
func TestWhatTheActivesCommitsWaitForIsNotErrant(t *testing.T) {
	with := func(f func(active *cluster.Server), has string) reconcile.Input {
		return given(executed(has), suspected(u1+":11", time.Minute), func(in *input) {
			in.Theirs.Server.Identity, in.Theirs.Server.Acks.Waiting = u1, 1
			f(&in.Theirs.Server)
		})
	}
	for name, row := range map[string]struct {
		in   reconcile.Input
		want cluster.Deed
	}{
		"commits wait": {with(func(*cluster.Server) {}, u1+":1-11"), cluster.DeedClosed},
		"none waits":   {with(func(s *cluster.Server) { s.Acks.Waiting = 0 }, u1+":1-11"), cluster.DeedQuarantine},
		"MariaDB lists it as soon as it is written": {given(executed("0-1-11"), suspected("0-1-11", time.Minute), func(in *input) {
			in.Mine.Server.Flavor, in.Theirs.Server.Flavor = cluster.MariaDB, cluster.MariaDB
			in.Theirs.Server.Executed, in.Theirs.Server.Identity, in.Theirs.Server.Acks.Waiting = "0-1-10", "1", 1
		}), cluster.DeedQuarantine},
		"the active is closed":                {with(func(s *cluster.Server) { s.ReadOnly = cluster.Yes }, u1+":1-11"), cluster.DeedQuarantine},
		"the passive's own is not waited for": {with(func(*cluster.Server) {}, u1+":1-11,"+u2+":1"), cluster.DeedQuarantine},
	} {
		t.Run(name, func(t *testing.T) {
			p := reconcile.Decide(row.in)
			stops := len(p.Steps) > 0 && p.Steps[0].Kind == reconcile.StopReplication
			if quarantined := p.Deed == cluster.DeedQuarantine || stops; quarantined != (row.want == cluster.DeedQuarantine) {
				t.Errorf("deed %q, steps %v, want %q", p.Deed, p.Steps, row.want)
			}
		})
	}
}
