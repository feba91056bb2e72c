package harness

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync"
)

var ports = struct {
	sync.Mutex
	given map[int]bool
}{given: map[int]bool{}}

// FreePort finds a loopback TCP port that nobody listens on, outside the range
// from which the kernel takes ports of outgoing connections, so that it stays
// free while a server is down. It gives no port twice.
func FreePort() (int, error) {
	low, high := 20000, 32000
	var from, to int
	if data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		if n, _ := fmt.Sscan(string(data), &from, &to); n == 2 && from < high {
			low, high = 10000, from
			if from < 14000 {
				low, high = to+1, 65535
			}
		}
	}
	if high-low < 100 {
		low, high = 20000, 60000
	}
	ports.Lock()
	defer ports.Unlock()
	for range 1000 {
		port := low + rand.IntN(high-low)
		if ports.given[port] {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = ln.Close()
		ports.given[port] = true
		return port, nil
	}
	return 0, errors.New("find a free loopback port: none of 1000 tried")
}
