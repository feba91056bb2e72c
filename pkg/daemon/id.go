package daemon

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

// NewID names this process among all of its kind: host/number/random word.
func NewID() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	var b [4]byte
	_, _ = rand.Read(b[:])
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}
