package reconcile

import (
	"fmt"
	"strings"

	"github.com/mmm-manager/mmm-manager/pkg/cluster"
	"github.com/mmm-manager/mmm-manager/pkg/gtid"
)

// ReasonEmpty: a server without any transaction is contained in every other. Where the active has all
// from itself that is a new one; else it was emptied, and skips what carries its own server_id.
var ReasonEmpty = cluster.Reason{Code: "empty",
	Text: "it has no transaction at all, though not only the active has written before: it was emptied, and would skip what it wrote itself; rebuild it from the active"}

// Stranger says why the positions of two servers do not tell whether the passive may replicate from the
// active: it names its transactions as the active does, or it was emptied.
func Stranger(passive, active cluster.Server) (cluster.Reason, bool) {
	if passive.Flavor != active.Flavor || !passive.GTIDMode || !active.GTIDMode {
		return cluster.Reason{}, false
	}
	if passive.Identity != "" && strings.EqualFold(passive.Identity, active.Identity) {
		return reasonCloned(passive), true
	}
	if passive.Executed != "" || active.Executed == "" {
		return cluster.Reason{}, false
	}
	known, err := gtid.Parse(active.Flavor, active.Executed)
	return ReasonEmpty, err == nil && !known.WithoutOrigin(active.Identity).IsEmpty()
}

func reasonCloned(s cluster.Server) cluster.Reason {
	name, way := "server_uuid", "remove auto.cnf from the data folder of the copy and restart it"
	if s.Flavor == cluster.MariaDB {
		name, way = "server_id", "give the copy a server_id of its own and restart it"
	}
	return cluster.Reason{Code: "cloned",
		Text: fmt.Sprintf("both servers have %s %s, so that nobody can tell whose a transaction is: nothing is replicated; %s", name, s.Identity, way)}
}

// Lost is what the passive needs and the active's binary logs no longer hold; empty where
// nothing is missing, or the server does not say (MariaDB).
func Lost(passive, active cluster.Server) string {
	if active.Purged == "" {
		return ""
	}
	gone, err := gtid.Parse(active.Flavor, active.Purged)
	if err != nil {
		return ""
	}
	has, err := gtid.Parse(passive.Flavor, passive.Executed)
	if err != nil {
		return ""
	}
	return gone.Minus(has).String()
}
