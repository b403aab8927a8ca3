package client

// LockFile is the lock of FileStore.
var LockFile = lockFile
