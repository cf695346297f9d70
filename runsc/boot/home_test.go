package boot

import "testing"

func TestHome(t *testing.T) {
	const passwd = "root:x:0:0:root:/root:/bin/sh\nshort:x:7\nnone:x:5:5:::\nweb:x:33:33:www:/var/www:/bin/sh\nweb2:x:33:33:www:/elsewhere:/bin/sh"
	for uid, want := range map[uint32]string{0: "/root", 33: "/var/www", 5: "/", 7: "/", 1000: "/"} {
		if got := homeOf(passwd, uid); got != want {
			t.Errorf("home of %d: %q, want %q", uid, got, want)
		}
	}
}
