// Package e2e proves mmm-manager end to end: real servers, the built programs
// with files in the predecessor's form, real faults, and rows counted afterwards.
package e2e
