// Package rooms checks which package imports which: trust between the rooms of
// the design goes one way.
package rooms
