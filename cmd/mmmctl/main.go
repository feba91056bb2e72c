// Command mmmctl is the operator's hand: switchover, failover, acknowledge, durability,
// pause, resume, list, history, rejoin, check, grants and check-config.
package main

import (
	"os"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func main() {
	os.Exit(daemon.Main(newCommand()))
}
