// Package hostile runs programs that attack the sandbox from inside: they jump
// into the platform's code, write over what it shares with them and lie about
// their state. A case passes if the sandbox, and every process but the
// attacker's, goes on as if nothing had happened.
package hostile
