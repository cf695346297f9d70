package systrap

import "golang.org/x/sys/unix"

// hasFSGSBase reports whether user code may use RDGSBASE and its like: bit 1 of
// AT_HWCAP2 (getauxval(3)).
func hasFSGSBase() bool {
	const atHWCap2, fsgsbase = 26, 1 << 1
	pairs, err := unix.Auxv()
	if err != nil {
		return false
	}
	for _, p := range pairs {
		if p[0] == atHWCap2 {
			return p[1]&fsgsbase != 0
		}
	}
	return false
}
