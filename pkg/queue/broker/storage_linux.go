package broker

import "syscall"

// temporaryKinds are the file systems (statfs(2)) that do not keep what fsync
// confirmed over a restart, or on which flock and fsync depend on a network.
var temporaryKinds = map[uint32]string{
	0x01021994: "tmpfs",
	0x858458f6: "ramfs",
	0x00006969: "NFS",
	0xff534d42: "CIFS",
	0xfe534d42: "SMB",
}

// temporary names the kind of file system dir lies on when it is not fit to keep
// messages.
func temporary(dir string) string {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return ""
	}
	return temporaryKinds[uint32(fs.Type)]
}

func freeSpace(dir string) (int64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, err
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil //nolint:unconvert // 32 bits on other architectures
}
