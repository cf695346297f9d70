// Package vdso owns the shared object that every program finds mapped
// (vdso(7)): functions that tell the time without a system call, from the
// parameters package ktime keeps in the page right below it.
//
// The object is one page, made when the Sentry starts: its code is Go assembly,
// copied, and so position independent; its tables are written here. It is what
// Linux offers on x86-64 as far as the C libraries and Go look at it: the same
// soname, symbols and version.
package vdso
