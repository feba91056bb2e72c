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
	given map[int]net.Listener
}{given: map[int]net.Listener{}}

// FreePort finds a loopback TCP port that nobody listens on, outside the range
// from which the kernel takes ports of outgoing connections, so that it stays
// free while a server is down. It gives no port twice, nor one that another
// program of the laboratory has been given and that is still at work: each port
// is claimed by a name in the kernel that goes with the program.
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
		if ports.given[port] != nil {
			continue
		}
		claim, err := net.Listen("unix", fmt.Sprintf("@mmm-port-%d", port))
		if err != nil {
			continue
		}
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			_ = claim.Close()
			continue
		}
		_ = ln.Close()
		ports.given[port] = claim
		return port, nil
	}
	return 0, errors.New("find a free loopback port: none of 1000 tried")
}
