// Package imports keeps the direction of imports: the pure core at the ground,
// adapters and services above it, thin mains on top. Its test fails for an edge
// against the levels, for a package that has no level, and for a pure package
// that reaches for a clock, a goroutine or the outside world.
package imports
