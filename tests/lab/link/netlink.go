package link

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// netlink changes links of the network namespace in which it was opened.
type netlink struct{ fd int }

func openNetlink() (netlink, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return netlink{}, fmt.Errorf("open netlink: %w", err)
	}
	return netlink{fd}, nil
}

func (n netlink) close() error { return unix.Close(n.fd) }

// attribute pads its value, as the next one begins at a multiple of 4.
func attribute(kind uint16, value []byte) []byte {
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func number(kind uint16, value int) []byte {
	return attribute(kind, binary.NativeEndian.AppendUint32(nil, uint32(value)))
}

// info is the head of every message about a link; flags are set where change says so.
func info(index int, flags, change uint32) []byte {
	b := make([]byte, 4, unix.SizeofIfInfomsg)
	b = binary.NativeEndian.AppendUint32(b, uint32(index))
	b = binary.NativeEndian.AppendUint32(b, flags)
	return binary.NativeEndian.AppendUint32(b, change)
}

func join(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// addPair makes a veth pair whose first end takes no part in ARP; both are down.
func (n netlink) addPair(name, peer string, mtu int) error {
	other := join(info(0, 0, 0), attribute(unix.IFLA_IFNAME, []byte(peer+"\x00")), number(unix.IFLA_MTU, mtu))
	const vethInfoPeer = 1 // linux/veth.h
	return n.request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, join(info(0, unix.IFF_NOARP, unix.IFF_NOARP),
		attribute(unix.IFLA_IFNAME, []byte(name+"\x00")), number(unix.IFLA_MTU, mtu),
		attribute(unix.IFLA_LINKINFO, join(attribute(unix.IFLA_INFO_KIND, []byte("veth")),
			attribute(unix.IFLA_INFO_DATA, attribute(vethInfoPeer, other))))))
}

func (n netlink) up(index int) error {
	return n.request(unix.RTM_NEWLINK, 0, info(index, unix.IFF_UP, unix.IFF_UP))
}

// plug makes a link a port of the bridge.
func (n netlink) plug(index, bridge int) error {
	return n.request(unix.RTM_NEWLINK, 0, join(info(index, 0, unix.IFF_NOARP), number(unix.IFLA_MASTER, bridge)))
}

// pull takes a link out of its bridge, and out of ARP: the namespace's own
// addresses must not answer on it.
func (n netlink) pull(index int) error {
	return n.request(unix.RTM_NEWLINK, 0, join(info(index, unix.IFF_NOARP, unix.IFF_NOARP), number(unix.IFLA_MASTER, 0)))
}

func (n netlink) remove(index int) error {
	return n.request(unix.RTM_DELLINK, 0, info(index, 0, 0))
}

// request sends a message and waits for the kernel's answer.
func (n netlink) request(kind, flags uint16, body []byte) error {
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = binary.NativeEndian.AppendUint16(b, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	b = append(b, make([]byte, 8)...)
	if err := unix.Sendto(n.fd, append(b, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var answer [8192]byte
	for {
		size, _, err := unix.Recvfrom(n.fd, answer[:], 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if size < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
			return fmt.Errorf("netlink: an answer of %d bytes that is none", size)
		}
		if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
			return unix.Errno(-code)
		}
		return nil
	}
}
