// Command mmm-status reports how pairs stand: the predecessor's text, a tree
// for people, JSON for machines. Package status describes all three.
package main

import (
	"os"

	"github.com/mmm-manager/mmm-manager/pkg/daemon"
)

func main() {
	os.Exit(daemon.Main(newCommand()))
}
