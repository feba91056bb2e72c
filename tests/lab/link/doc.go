// Package link makes the link between a host of the laboratory and its bridge
// slow, for kernels without netem.
//
// The outer end of the host's veth pair leaves the bridge, and a relay carries
// frames between it and a spare pair that is plugged in instead. Addresses stay,
// so connections live on. Frames are carried with their virtio headers, so that
// checksums that are yet to be made and segments that are yet to be cut survive.
//
// The relay's sockets get a frame only when no bridge has taken it, and on the
// way back the outer end is plugged in before the spare pair is pulled, when all
// that waited has been sent on. What remains is the moment in which the kernel
// lets go of a port: it closes the port first, so a few milliseconds of frames may
// be lost then, as on a real switch; TCP repeats them. Order is kept within each
// direction but at the moment of switching. Frames of other protocols than
// IPv4, IPv6 and ARP are not carried.
package link
