// Package disk gives the laboratory's hosts disks that fail: a file system in
// an image that runs full, freezes for a while, or aborts its journal, and is
// made whole again.
//
// Whoever touches a frozen file system can be killed by nobody before it is
// thawed. So the thaw depends on nobody: a process of its own, the thawer, opens
// the mount point, freezes and thaws. It stands outside the laboratory's PID
// namespace and thaws by its own clock, at once when nobody holds the other end of its
// socket any more. Should the thawer be killed, its client thaws instead.
//
// Mounts and loop devices belong to the caller's mount namespace and vanish
// with it; its mounts have to be private. The package never unmounts, checks or
// frees anything that it has not mounted, and never checks an image that a
// mount or a loop device still holds.
package disk
