package gofer

import (
	"golang.org/x/sys/unix"
	"ringfort/gofer/wire"
)

// handler answers one kind of request: it takes its fields from d and appends the reply's to e. A descriptor it
// returns (-1: none), or all in server.many, are donated with the reply and then closed.
type handler func(s *server, d *wire.Decoder, e *wire.Encoder) (donated int, err error)

var handlers = [256]handler{
	wire.TVersion:  (*server).version,
	wire.TAttach:   plain((*server).attach),
	wire.TFlush:    plain((*server).flush),
	wire.TWalk:     plain((*server).walk),
	wire.TClunk:    plain((*server).clunk),
	wire.TStatfs:   plain((*server).statfs),
	wire.TLopen:    plain((*server).lopen),
	wire.TLcreate:  plain((*server).lcreate),
	wire.TSymlink:  plain((*server).symlink),
	wire.TMknod:    plain((*server).mknod),
	wire.TMkdir:    plain((*server).mkdir),
	wire.TReadlink: plain((*server).readlink),
	wire.TGetattr:  plain((*server).getattr),
	wire.TSetattr:  plain((*server).setattrMsg),
	wire.TReaddir:  plain((*server).readdir),
	wire.TLink:     plain((*server).link),
	wire.TRenameat: plain((*server).renameat),
	wire.TUnlinkat: plain((*server).unlinkat),
	wire.TRead:     plain((*server).read),
	wire.TWrite:    plain((*server).write),

	wire.TWalkAttr:    (*server).walkAttr,
	wire.TMake:        (*server).make,
	wire.TOpenFD:      (*server).openFD,
	wire.TChange:      plain((*server).changeAttr),
	wire.TReaddirAttr: plain((*server).readdirAttr),
	wire.TRename:      plain((*server).rename2),
	wire.TGetXattr:    plain((*server).getXattr),
	wire.TSetXattr:    plain((*server).setXattr),
	wire.TListXattr:   plain((*server).listXattr),
	wire.TRemoveXattr: plain((*server).removeXattr),
	wire.TForget:      plain((*server).forgetMany),
	wire.TAllocate:    plain((*server).allocate),
	wire.TList:        plain((*server).list),
	wire.TOpenMany:    plain((*server).openMany),
	wire.TConnect:     (*server).connect,
	wire.TListen:      (*server).listen,
}

// plain makes a handler of one that donates nothing.
func plain(h func(*server, *wire.Decoder, *wire.Encoder) error) handler {
	return func(s *server, d *wire.Decoder, e *wire.Encoder) (int, error) { return -1, h(s, d, e) }
}

// handle finds the handler. Extension messages do not exist for a peer that did not agree to them.
func (s *server) handle(typ uint8, d *wire.Decoder, e *wire.Encoder) (int, error) {
	h := handlers[typ]
	if h == nil || typ >= wire.TWalkAttr && !s.extended {
		return -1, unix.ENOSYS
	}
	return h(s, d, e)
}

// take takes a last look at the fields decoded: all must have been there.
func take(d *wire.Decoder) error {
	if d.Err() != nil {
		return unix.EINVAL
	}
	return nil
}

// version answers Tversion msize[4] version[s] and, as 9P says, forgets every fid.
func (s *server) version(d *wire.Decoder, e *wire.Encoder) (int, error) {
	msize, version := d.U32(), d.Str()
	if err := take(d); err != nil {
		return -1, err
	}
	s.syncWG.Wait()
	s.dropFIDs()
	s.msize = min(msize, wire.MessageSize)
	s.extended = version == wire.VersionExt
	switch {
	case msize < 512:
		s.msize = wire.MessageSize
		version = "unknown"
	case s.extended:
	case len(version) >= len(wire.Version9P) && version[:len(wire.Version9P)] == wire.Version9P:
		version = wire.Version9P
	default:
		version = "unknown"
	}
	e.U32(s.msize)
	e.Str(version)
	return -1, nil
}

// attach answers Tattach fid[4] afid[4] uname[s] aname[s] n_uname[4]. The one tree there is, is the export.
func (s *server) attach(d *wire.Decoder, e *wire.Encoder) error {
	n := d.U32()
	if err := take(d); err != nil {
		return err
	}
	if err := s.checkNew(n); err != nil {
		return err
	}
	fd, err := unix.FcntlInt(s.root.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var a wire.Attr
	if err := statFD(fd, &a); err != nil {
		unix.Close(fd)
		return err
	}
	s.fids[n] = s.newFID(fd, a.Mode)
	e.QID(toQID(&a))
	return nil
}

// flush answers Tflush. Whatever came before it is answered already, but for syncs, which go on: their reply is
// legal after Rflush as long as the tag is not used again, so wait for them.
func (s *server) flush(*wire.Decoder, *wire.Encoder) error {
	s.syncWG.Wait()
	return nil
}

// clunk answers Tclunk fid[4].
func (s *server) clunk(d *wire.Decoder, _ *wire.Encoder) error {
	n := d.U32()
	if err := take(d); err != nil {
		return err
	}
	return s.forget(n)
}

// forgetMany does TForget, which has no reply.
func (s *server) forgetMany(d *wire.Decoder, _ *wire.Encoder) error {
	for n := d.U16(); n > 0 && d.Len() > 0; n-- {
		_ = s.forget(d.U32()) // an unknown fid is ignored by contract
	}
	return nil
}

// walk answers Twalk fid[4] newfid[4] nwname[2] nwname*(wname[s]).
func (s *server) walk(d *wire.Decoder, e *wire.Encoder) error {
	n, newN, count := d.U32(), d.U32(), d.U16()
	f, err := s.lookup(n)
	if err == nil {
		err = take(d)
	}
	if err != nil {
		return err
	}
	if n != newN {
		if err := s.checkNew(newN); err != nil {
			return err
		}
	}
	if count > 16 { // MAXWELEM of walk(5)
		return unix.EINVAL
	}
	cur, err := unix.FcntlInt(uintptr(f.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	at := len(e.B)
	e.U16(0)
	a := wire.Attr{Mode: f.mode}
	done := uint16(0)
	for ; done < count; done++ {
		name := d.Str()
		if err = take(d); err == nil && a.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = unix.ENOTDIR
		}
		next := -1
		if err == nil {
			next, err = pathChild(cur, name, &a)
		}
		if err != nil {
			break
		}
		unix.Close(cur)
		cur = next
		e.QID(toQID(&a))
	}
	if done < count {
		unix.Close(cur)
		if done == 0 {
			return err
		}
	} else {
		if n == newN {
			f.close()
		}
		s.fids[newN] = s.newFID(cur, a.Mode)
	}
	e.B[at], e.B[at+1] = byte(done), byte(done>>8)
	return nil
}

// statfs answers Tstatfs fid[4].
func (s *server) statfs(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	var st unix.Statfs_t
	for {
		if err = unix.Fstatfs(f.fd, &st); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return err
	}
	e.U32(uint32(st.Type))
	e.U32(uint32(st.Bsize))
	e.U64(st.Blocks)
	e.U64(st.Bfree)
	e.U64(st.Bavail)
	e.U64(st.Files)
	e.U64(st.Ffree)
	e.U64(uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32)
	e.U32(uint32(st.Namelen))
	return nil
}

// readlink answers Treadlink fid[4].
func (s *server) readlink(d *wire.Decoder, e *wire.Encoder) error {
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	if f.mode != unix.S_IFLNK {
		return unix.EINVAL
	}
	target, err := readlink(f.fd)
	e.Str(target)
	return err
}

// link answers Tlink dfid[4] fid[4] name[s].
func (s *server) link(d *wire.Decoder, _ *wire.Encoder) error {
	dir, err := s.takeDir(d)
	if err != nil {
		return err
	}
	f, err := s.takeFID(d)
	if err != nil {
		return err
	}
	name := d.Str()
	if err := s.checkWrite(d, name); err != nil {
		return err
	}
	return s.linkFD(f.fd, dir.fd, name)
}

// checkWrite ends the decoding of a request that changes a directory's entries: all names must be single ones.
func (s *server) checkWrite(d *wire.Decoder, names ...string) error {
	if err := take(d); err != nil {
		return err
	}
	for _, name := range names {
		if err := checkName(name); err != nil {
			return err
		}
	}
	if s.readOnly {
		return unix.EROFS
	}
	return nil
}

// renameat answers Trenameat olddirfid[4] oldname[s] newdirfid[4] newname[s].
func (s *server) renameat(d *wire.Decoder, e *wire.Encoder) error { return s.rename(d, e, false) }

// rename2 answers TRename, which ends in flags[4] after[1].
func (s *server) rename2(d *wire.Decoder, e *wire.Encoder) error { return s.rename(d, e, true) }

func (s *server) rename(d *wire.Decoder, e *wire.Encoder, extended bool) error {
	from, err := s.takeDir(d)
	if err != nil {
		return err
	}
	oldName := d.Str()
	to, err := s.takeDir(d)
	if err != nil {
		return err
	}
	newName := d.Str()
	var flags uint32
	var after uint8
	if extended {
		flags, after = d.U32(), d.U8()
	}
	if err := s.checkWrite(d, oldName, newName); err != nil {
		return err
	}
	if flags&^(unix.RENAME_NOREPLACE|unix.RENAME_EXCHANGE) != 0 {
		return unix.EINVAL // a whiteout would be a device
	}
	if err := unix.Renameat2(from.fd, oldName, to.fd, newName, uint(flags)); err != nil {
		return err
	}
	if after == 1 {
		dirAttr(e, to.fd)
	}
	return nil
}

// unlinkat answers Tunlinkat dirfd[4] name[s] flags[4].
func (s *server) unlinkat(d *wire.Decoder, _ *wire.Encoder) error {
	dir, err := s.takeDir(d)
	if err != nil {
		return err
	}
	name, flags := d.Str(), d.U32()
	if err := s.checkWrite(d, name); err != nil {
		return err
	}
	return unix.Unlinkat(dir.fd, name, int(flags&unix.AT_REMOVEDIR))
}
