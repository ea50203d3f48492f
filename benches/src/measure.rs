//! Clocks and gauges: CPU time of a thread, CPU time of ended children, resident memory.

use std::time::Duration;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};

/// Returns the CPU time that this thread has used.
pub fn thread_cpu() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// Returns the time of a clock that all processes of the machine share.
pub fn monotonic() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

fn read(clock: ClockId) -> Duration {
    Duration::from(clock_gettime(clock).expect("a clock that Linux has"))
}

/// Returns the user and system time of this process so far.
pub fn process_cpu() -> Duration {
    used(UsageWho::RUSAGE_SELF)
}

/// Returns the user and system time of all children that have ended and were waited for.
///
/// The difference around one child is that child's time, including the kernel's work for its
/// sockets.
pub fn children_cpu() -> Duration {
    used(UsageWho::RUSAGE_CHILDREN)
}

fn used(who: UsageWho) -> Duration {
    let usage = getrusage(who).expect("getrusage cannot fail");
    duration(usage.user_time()) + duration(usage.system_time())
}

fn duration(time: TimeVal) -> Duration {
    Duration::new(time.tv_sec().unsigned_abs(), 1000 * u32::try_from(time.tv_usec()).unwrap_or(0))
}

/// Returns the resident memory of this process in bytes.
pub fn resident() -> usize {
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = statm.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    pages.expect("the second number is the resident set") * PAGE
}

/// Raises this process's limit on open sockets as far as the system allows.
pub fn raise_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("getrlimit cannot fail");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit is allowed");
}
