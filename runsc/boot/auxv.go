package boot

import (
	"golang.org/x/sys/unix"
)

// runtimeAuxv returns this process's auxiliary vector (getauxval(3)).
func runtimeAuxv() (map[uint64]uint64, error) {
	pairs, err := unix.Auxv()
	if err != nil {
		return nil, err
	}
	m := map[uint64]uint64{}
	for _, p := range pairs {
		m[uint64(p[0])] = uint64(p[1])
	}
	return m, nil
}
