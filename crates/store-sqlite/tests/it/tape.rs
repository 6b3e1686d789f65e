//! A layer between SQLite and the file system that records what would have to survive a power cut,
//! and that fails on request. Reading, locking and the shared index of the log pass through.

#![expect(unsafe_code, reason = "SQLite's file system layer is a table of C functions")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rusqlite::ffi;

/// Something that changed a file, or made its changes durable.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    Write {
        file: usize,
        offset: usize,
        data: Arc<[u8]>,
    },
    Truncate {
        file: usize,
        size: usize,
    },
    Sync {
        file: usize,
    },
    /// The entry is gone; that is durable only after the folder was synced.
    Delete {
        file: usize,
    },
    /// Made durable which files exist.
    SyncFolder,
}

/// What goes wrong, once the given number of calls of its sort was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Writing and growing fail from then on; half of the first failing write is written.
    DiskFull { after: u64 },
    /// One call of any sort fails.
    Io { after: u64 },
    /// One sync fails, and what it should have made durable is lost.
    Sync { after: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Truncate,
    Sync,
    Other,
}

#[derive(Default)]
struct State {
    operations: Vec<Operation>,
    names: Vec<String>,
    fault: Option<Fault>,
    calls: u64,
    failed: u64,
}

impl State {
    fn file(&mut self, path: &str) -> usize {
        let name = path.rsplit('/').next().unwrap_or(path);
        match self.names.iter().position(|known| known == name) {
            Some(file) => file,
            None => {
                self.names.push(name.to_owned());
                self.names.len() - 1
            }
        }
    }

    /// Counts a call and says how it fails, if it does.
    fn failure(&mut self, call: Call) -> Option<c_int> {
        let (counts, after, repeats) = match self.fault? {
            Fault::DiskFull { after } => (matches!(call, Call::Write), after, true),
            Fault::Io { after } => (true, after, false),
            Fault::Sync { after } => (call == Call::Sync, after, false),
        };
        if !counts {
            return None;
        }
        self.calls += 1;
        if self.calls <= after || (!repeats && self.calls > after + 1) {
            return None;
        }
        self.failed += 1;
        Some(match (self.fault?, call) {
            (Fault::DiskFull { .. }, _) => ffi::SQLITE_FULL,
            (_, Call::Read) => ffi::SQLITE_IOERR_READ,
            (_, Call::Write) => ffi::SQLITE_IOERR_WRITE,
            (_, Call::Truncate) => ffi::SQLITE_IOERR_TRUNCATE,
            (_, Call::Sync) => ffi::SQLITE_IOERR_FSYNC,
            (_, Call::Other) => ffi::SQLITE_IOERR,
        })
    }
}

struct Shared {
    inner: *mut ffi::sqlite3_vfs,
    state: Mutex<State>,
}

/// A recording file system layer, known to SQLite by its name until dropped.
pub(crate) struct Tape {
    name: CString,
    vfs: Box<ffi::sqlite3_vfs>,
    shared: Box<Shared>,
}

// SAFETY: the pointers inside lead to memory that the tape owns and that does not move, and to
// SQLite's default layer, which is static; the state behind them is locked.
unsafe impl Send for Tape {}
// SAFETY: as above.
unsafe impl Sync for Tape {}

static TAPES: AtomicU64 = AtomicU64::new(0);

impl Tape {
    /// Starts a tape on which `fault` happens.
    pub(crate) fn start(fault: Option<Fault>) -> Self {
        // SAFETY: the first call initialises SQLite; the default layer is static.
        let inner = unsafe {
            ffi::sqlite3_initialize();
            ffi::sqlite3_vfs_find(ptr::null())
        };
        assert!(!inner.is_null(), "SQLite has a default layer");
        let name = format!("tape-{}", TAPES.fetch_add(1, Ordering::Relaxed));
        let name = CString::new(name).unwrap();
        let shared = Box::new(Shared { inner, state: Mutex::new(State { fault, ..State::default() }) });
        // SAFETY: a copy of a table of plain values and functions that take the layer they are
        // called on; those that would see the copy as the default layer are replaced below.
        let mut vfs = Box::new(unsafe { ptr::read(inner) });
        vfs.pNext = ptr::null_mut();
        vfs.zName = name.as_ptr();
        vfs.pAppData = ptr::from_ref(&*shared).cast_mut().cast();
        vfs.szOsFile += c_int::try_from(size_of::<TapedFile>()).unwrap();
        vfs.xOpen = Some(open);
        vfs.xDelete = Some(delete);
        vfs.xAccess = Some(access);
        vfs.xFullPathname = Some(full_pathname);
        // SAFETY: the table stays where it is until it is unregistered.
        let registered = unsafe { ffi::sqlite3_vfs_register(&raw mut *vfs, 0) };
        assert_eq!(registered, ffi::SQLITE_OK);
        Self { name, vfs, shared }
    }

    pub(crate) fn name(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    /// How many operations were recorded so far.
    pub(crate) fn len(&self) -> usize {
        self.shared.state.lock().operations.len()
    }

    /// What was recorded, and the names of the files.
    pub(crate) fn recorded(&self) -> (Vec<Operation>, Vec<String>) {
        let state = self.shared.state.lock();
        (state.operations.clone(), state.names.clone())
    }

    /// How many calls failed.
    pub(crate) fn failed(&self) -> u64 {
        self.shared.state.lock().failed
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        // SAFETY: it was registered, and every connection that used it is closed by now: stores
        // are dropped before their tape.
        unsafe { ffi::sqlite3_vfs_unregister(&raw mut *self.vfs) };
    }
}

/// What stands before the real file in the memory that SQLite gives us.
#[repr(C)]
struct TapedFile {
    base: ffi::sqlite3_file,
    shared: *const Shared,
    /// The file's number; a temporary file has none and is not recorded.
    file: Option<usize>,
    /// Whether the first sync also syncs the folder: SQLite's layer does so for every journal and
    /// log that it may have made.
    syncs_folder: bool,
}

/// # Safety
/// `file` was opened by [`open`].
unsafe fn parts<'a>(file: *mut ffi::sqlite3_file) -> (&'a Shared, Option<usize>, *mut ffi::sqlite3_file) {
    let taped = file.cast::<TapedFile>();
    // SAFETY: SQLite gives `szOsFile` bytes: ours and, behind them, those of the real file.
    unsafe { (&*(*taped).shared, (*taped).file, taped.add(1).cast()) }
}

/// # Safety
/// `vfs` is the layer of a tape.
unsafe fn shared<'a>(vfs: *mut ffi::sqlite3_vfs) -> &'a Shared {
    // SAFETY: `pAppData` is what `Tape::start` put there.
    unsafe { &*(*vfs).pAppData.cast::<Shared>() }
}

unsafe fn text(name: *const c_char) -> String {
    // SAFETY: SQLite's names end with zero.
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with its own valid arguments.
    unsafe {
        let shared = shared(vfs);
        let number = (!name.is_null()).then(|| shared.state.lock().file(&text(name)));
        let taped = file.cast::<TapedFile>();
        let syncs_folder = flags & ffi::SQLITE_OPEN_CREATE != 0
            && flags & (ffi::SQLITE_OPEN_MAIN_JOURNAL | ffi::SQLITE_OPEN_WAL) != 0;
        let base = ffi::sqlite3_file { pMethods: ptr::null() };
        ptr::write(taped, TapedFile { base, shared, file: number, syncs_folder });
        let real: *mut ffi::sqlite3_file = taped.add(1).cast();
        let inner = shared.inner;
        let opened = (*inner).xOpen.unwrap()(inner, name, real, flags, out_flags);
        if !(*real).pMethods.is_null() {
            (*file).pMethods = &raw const METHODS;
        }
        opened
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let shared = shared(vfs);
        let result = (*shared.inner).xDelete.unwrap()(shared.inner, name, sync);
        if result == ffi::SQLITE_OK {
            let mut state = shared.state.lock();
            let file = state.file(&text(name));
            state.operations.push(Operation::Delete { file });
            if sync != 0 {
                state.operations.push(Operation::SyncFolder);
            }
        }
        result
    }
}

unsafe extern "C" fn access(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let inner = shared(vfs).inner;
        (*inner).xAccess.unwrap()(inner, name, flags, out)
    }
}

unsafe extern "C" fn full_pathname(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    bytes: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: as in `open`.
    unsafe {
        let inner = shared(vfs).inner;
        (*inner).xFullPathname.unwrap()(inner, name, bytes, out)
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: SQLite calls with a file of ours and `bytes` readable bytes.
    unsafe {
        let (shared, number, real) = parts(file);
        let mut state = shared.state.lock();
        let failure = state.failure(Call::Write);
        let written = match failure {
            None => bytes,
            Some(ffi::SQLITE_FULL) => bytes / 2,
            Some(_) => 0,
        };
        if written > 0 {
            let result = (*(*real).pMethods).xWrite.unwrap()(real, data, written, offset);
            if result != ffi::SQLITE_OK {
                return result;
            }
        }
        if let Some(file) = number {
            let data = std::slice::from_raw_parts(data.cast::<u8>(), usize::try_from(written).unwrap());
            let offset = usize::try_from(offset).unwrap();
            state.operations.push(Operation::Write { file, offset, data: data.into() });
        }
        failure.unwrap_or(ffi::SQLITE_OK)
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: ffi::sqlite3_int64) -> c_int {
    // SAFETY: as in `write`.
    unsafe {
        let (shared, number, real) = parts(file);
        let mut state = shared.state.lock();
        if let Some(failure) = state.failure(Call::Truncate) {
            return failure;
        }
        let result = (*(*real).pMethods).xTruncate.unwrap()(real, size);
        if let (Some(file), ffi::SQLITE_OK) = (number, result) {
            let size = usize::try_from(size).unwrap();
            state.operations.push(Operation::Truncate { file, size });
        }
        result
    }
}

unsafe extern "C" fn sync(opened: *mut ffi::sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as in `write`.
    unsafe {
        let (shared, number, real) = parts(opened);
        let mut state = shared.state.lock();
        if let Some(failure) = state.failure(Call::Sync) {
            return failure;
        }
        let result = (*(*real).pMethods).xSync.unwrap()(real, flags);
        if let (Some(file), ffi::SQLITE_OK) = (number, result) {
            state.operations.push(Operation::Sync { file });
            let taped = opened.cast::<TapedFile>();
            if std::mem::take(&mut (*taped).syncs_folder) {
                state.operations.push(Operation::SyncFolder);
            }
        }
        result
    }
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    data: *mut c_void,
    bytes: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    // SAFETY: as in `write`, with writable bytes.
    unsafe {
        let (shared, _, real) = parts(file);
        if let Some(failure) = shared.state.lock().failure(Call::Read) {
            return failure;
        }
        (*(*real).pMethods).xRead.unwrap()(real, data, bytes, offset)
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: as in `write`.
    unsafe {
        let (shared, _, real) = parts(file);
        if let Some(failure) = shared.state.lock().failure(Call::Other) {
            return failure;
        }
        (*(*real).pMethods).xFileSize.unwrap()(real, size)
    }
}

/// Functions that only pass their call on to the real file.
macro_rules! pass {
    ($($name:ident = $method:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {$(
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $kind),*) -> $result {
            // SAFETY: as in `write`.
            unsafe {
                let (_, _, real) = parts(file);
                (*(*real).pMethods).$method.unwrap()(real, $($argument),*)
            }
        }
    )*};
}

pass! {
    close = xClose() -> c_int;
    lock = xLock(level: c_int) -> c_int;
    unlock = xUnlock(level: c_int) -> c_int;
    check_reserved_lock = xCheckReservedLock(out: *mut c_int) -> c_int;
    file_control = xFileControl(op: c_int, argument: *mut c_void) -> c_int;
    sector_size = xSectorSize() -> c_int;
    device_characteristics = xDeviceCharacteristics() -> c_int;
    shm_map = xShmMap(region: c_int, bytes: c_int, extend: c_int, out: *mut *mut c_void) -> c_int;
    shm_lock = xShmLock(offset: c_int, n: c_int, flags: c_int) -> c_int;
    shm_barrier = xShmBarrier() -> ();
    shm_unmap = xShmUnmap(delete: c_int) -> c_int;
}

/// Version 2: with the shared index of the log, without memory-mapped files, which could not be
/// recorded.
static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};
