//! Arguments in, exit code out.

/// Batches of small buffers are made on one thread and freed on another: this allocator does that well.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    weir::app::main()
}
