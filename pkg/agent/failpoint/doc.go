// Package failpoint lets a test stop the whole process at an exact step.
//
// Built with the tag failpoint, Hit(name) raises SIGSTOP on its own process the
// first time that name is hit, when the environment has
// MMM_FAILPOINT=name:stop. Built without it, Hit does nothing.
package failpoint
