import Foundation
import Testing

/// Why the tests cannot be run.
struct Unfit: Error, CustomStringConvertible {
  var description: String
}

/// Scratch files beside the system's. A process cannot leave scratch files once it has them: the program of Fixtures/scratch.c does.
@Suite struct ScratchTests {
  private static let program: Result<String, any Error> = Result {
    let path = FileManager.default.temporaryDirectory.path + "/ceralacca-scratch-\(UUID().uuidString)"
    atexit { if let path = try? ScratchTests.program.get() { try? FileManager.default.removeItem(atPath: path) } }
    guard let fixture = Bundle.module.path(forResource: "Fixtures/scratch", ofType: "c") else { throw Unfit(description: "no fixture") }
    let room = URL(filePath: #filePath).deletingLastPathComponent().path + "/../../Sources/CScratch"
    let sources = try FileManager.default.contentsOfDirectory(atPath: room).filter { $0.hasSuffix(".c") }.map { "\(room)/\($0)" }
    _ = try run(["cc", "-O1", "-w", "-fsanitize=address,undefined", "-I\(room)/include", "-o", path, fixture] + sources)
    return path
  }

  private static func run(_ arguments: [String]) throws -> String {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = arguments
    process.standardInput = FileHandle.nullDevice
    let output = Pipe()
    process.standardOutput = output
    process.standardError = output
    try process.run()
    let octets = try output.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let text = String(decoding: octets, as: UTF8.self)
    if process.terminationStatus != 0 { throw Unfit(description: "\(arguments[0]): \(process.terminationStatus) \(text)") }
    return text
  }

  private static func compare(seed: Int, memoryBytes: Int) throws -> String {
    let folder = FileManager.default.temporaryDirectory.path + "/ceralacca-scratch-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for path in ["\(folder)/real", "\(folder)/overflow"] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    let text = try run(["timeout", "120", program.get(), "\(seed)", "6000", "\(memoryBytes)", "\(folder)/real", "\(folder)/overflow"])
    // What did not fit has no name.
    #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/overflow") == [])
    return text
  }

  /// With memory for all, for some and for nothing.
  @Test(arguments: [100 << 20, 200_000, 0]) func scratchFilesAreAsTheSystemsAre(memoryBytes: Int) throws {
    for seed in 1...6 {
      let text = try Self.compare(seed: seed, memoryBytes: memoryBytes)
      #expect(text.hasPrefix("left 0 0 0\noverflowed "), "seed \(seed): \(text)")
      // Large files go to the folder in any case.
      #expect(!text.hasSuffix("overflowed 0\n"), "seed \(seed)")
    }
  }

  // MARK: What libclamav calls

  /// The C library's functions by which a path is looked up: what is not served for scratch would find nothing there, and say nothing of it.
  private static let finders: Set<String> = [
    "open", "open64", "openat", "openat64", "creat", "creat64", "fopen", "fopen64", "freopen", "freopen64", "stat", "stat64", "lstat",
    "lstat64", "fstatat", "fstatat64", "statx", "__xstat", "__xstat64", "__lxstat", "__lxstat64", "__fxstatat", "__fxstatat64", "access",
    "faccessat", "eaccess", "euidaccess", "opendir", "scandir", "scandir64", "scandirat", "ftw", "ftw64", "nftw", "nftw64", "fts_open",
    "fts64_open", "glob", "glob64", "mkdir", "rmdir", "unlink", "unlinkat", "remove", "rename", "realpath", "__realpath_chk",
    "canonicalize_file_name", "readlink", "__readlink_chk", "chdir", "chmod", "mkdtemp", "mkstemp", "mkstemp64", "mkostemp", "mkostemp64",
    "mkstemps", "mkstemps64", "truncate", "truncate64", "__open_2", "__open64_2", "__openat_2", "__openat64_2", "open_by_handle_at",
  ]
  /// Those by which an open file or folder is used, and that have no error to answer, or one that is not looked at.
  private static let users: Set<String> = [
    "fileno", "readdir", "readdir64", "readdir_r", "closedir", "rewinddir", "seekdir", "fdopen", "fdopendir", "dirfd", "mmap", "mmap64",
    "munmap", "read", "__read_chk", "pread", "pread64", "__pread_chk", "__pread64_chk", "readv", "write", "pwrite64", "writev", "lseek",
    "lseek64", "close", "fstat", "fstat64", "__fxstat", "__fxstat64", "ftruncate", "ftruncate64", "dup", "fcntl", "fcntl64",
  ]

  private static func names(_ arguments: [String], _ kind: String) throws -> Set<String> {
    let lines = try run(["nm", "-D", kind] + arguments).split(separator: "\n")
    return Set(lines.compactMap { $0.split(separator: " ").last?.split(separator: "@").first.map(String.init) })
  }

  @Test func everythingThatLibclamavFindsFilesByIsServed() throws {
    let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    let scanner = URL(filePath: own).deletingLastPathComponent().path + "/ceralacca-scanner"
    let served = try Self.names([scanner], "--defined-only")
    let loaded = try Self.run(["ldd", scanner]).split(separator: "\n").compactMap { line in
      line.split(separator: " ").first { $0.hasPrefix("/") }.map(String.init)
    }
    let engine = try #require(loaded.first { $0.contains("libclamav") })
    // libclamav and what reads files for it. The C++ library and ICU open what is theirs.
    let others = loaded.filter { path in
      ["mspack", "libz.", "bz2", "xml2", "json", "lzma", "pcre2"].contains { path.contains($0) }
    }
    for library in [engine] + others {
      let wanted = try Self.names([library], "--undefined-only").intersection(Self.finders.union(Self.users))
      #expect(wanted.subtracting(served).sorted() == [], "\(library)")
    }
    // It would show nothing if the names were read wrongly.
    #expect(try Self.names([engine], "--undefined-only").isSuperset(of: ["open64", "fopen64", "opendir", "fdopen"]))
    #expect(served.isSuperset(of: ["open64", "fopen64", "opendir", "fdopen"]))
  }
}
