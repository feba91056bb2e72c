package notify

import (
	"strings"
	"testing"
	"time"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
)

// replaced records that who took the place of the server behind node.
func (s *scene) replaced(node cluster.Endpoint, who string) {
	s.redis.record(cluster.Event{Kind: "replaced", Tag: "mysql3308", Node: node, Reason: string(node) + ": its server_uuid is " + who, Assignment: cluster.Assignment{
		Epoch: 8, Version: 3, Phase: cluster.PhaseSteady, Active: nodeA, Passive: nodeB, Known: map[cluster.Endpoint]string{node: "before"}, Replaced: map[cluster.Endpoint]string{node: who}}})
}

func TestAServerThatTakesAnothersPlaceIsToldOnce(t *testing.T) {
	const active, passive = "[mmm] mysql3308: another server behind 10.0.21.5:3308, the active (epoch 8)", "[mmm] mysql3308: another server behind 10.0.21.7:3308, the passive (epoch 8)"
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.agent("two", nil)
		s.pass(time.Second)
		s.replaced(nodeB, "x")
		s.pass(5 * time.Second)
		s.expect(passive)
		s.replaced(nodeA, "x")
		s.pass(5 * time.Second)
		s.expect(passive, active)
		// An address that leads here and there.
		s.replaced(nodeA, "x")
		s.pass(time.Hour)
		s.replaced(nodeA, "x")
		s.pass(time.Hour)
		s.expect(passive, active)
		s.replaced(nodeA, "y")
		s.pass(5 * time.Second)
		s.expect(passive, active, active)
		mails := s.server.mails()
		for i, says := range [][]string{
			{"No role has moved", "passive      10.0.21.7:3308", "what         10.0.21.7:3308: its server_uuid is x", "may take over when it has caught up", "mmmctl rejoin --tag mysql3308 --node 10.0.21.7:3308"},
			{"No role has moved", "active       10.0.21.5:3308", "what         10.0.21.5:3308: its server_uuid is x", "lost its auto.cnf", "10.0.21.7:3308 may hold what it lacks: discard nothing there",
				"mmmctl rejoin --tag mysql3308 --node 10.0.21.7:3308", "stop the server behind 10.0.21.5:3308, then: mmmctl failover --tag mysql3308 --to 10.0.21.7:3308"},
			{"its server_uuid is y"},
		} {
			for _, want := range says {
				if !strings.Contains(mails[i].mail.Body, want) {
					s.Errorf("the mail does not say %q:\n%s", want, mails[i].mail.Body)
				}
			}
		}
	})
}

// What happens meanwhile is no part of a change of role, and ends none.
func TestAServerIsReplacedAroundAFailover(t *testing.T) {
	play(t, func(s *scene) {
		s.agent("one", nil)
		s.pass(time.Second)
		s.replaced(nodeB, "x")
		s.failover(9)
		s.pass(5 * time.Second)
		s.expect("[mmm] mysql3308: another server behind 10.0.21.7:3308, the passive (epoch 8)", strings.Replace(failoverSubject, "epoch 8", "epoch 9", 1))
		if body := s.server.mails()[1].mail.Body; strings.Contains(body, "replaced") {
			s.Error(body)
		}
	})
}

func TestAServerThatWasReplacedLongAgoIsNoNews(t *testing.T) {
	play(t, func(s *scene) {
		s.replaced(nodeA, "x")
		s.pass(Window + time.Minute)
		s.agent("one", nil)
		s.pass(time.Minute)
		s.expect()
	})
}
