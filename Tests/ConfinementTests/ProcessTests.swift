import Foundation
import Testing

/// Real processes, confined by the C of the room, started as root (where the tests are) and as an ordinary user.
@Suite struct ProcessTests {
  private let world: Confined

  init() throws { world = try Confined() }

  private func run(
    _ word: String, _ starter: Confined.Starter, build: Confined.Build = .usual, user: String? = nil, temporary: String? = nil
  ) throws -> Confined.Words {
    try world.run([word], build: build, as: starter, user: user, temporary: temporary)
  }

  @Test func probesSeeAnOpenDoor() throws {
    defer { world.remove() }
    // Unconfined: a probe that says "denied" of everything would be worth nothing. The rest is root's, or not in every kernel.
    let words = try run("probe-free", .ordinary)
    let rootOnly: Set<String> = [
      "write the key file", "signal its parent", "signal its parent's thread", "become root", "mount", "change the root folder",
      "pivot the root folder", "load a kernel module", "load a kernel", "swap", "reboot", "read its parent's memory", "set the clock",
      "open its own memory in /proc", "list /proc", "open a socket to the host (vsock)", "set up io_uring", "handle page faults",
      "open a socket of the kernel's cryptography", "count with perf", "load a BPF program", "make a namespace",
      "make a namespace by clone", "make a namespace by clone3", "open a file by its handle", "make a file in /dev/shm",
    ]
    #expect(words.lines.count > 55)
    #expect(Set(words.refused).subtracting(rootOnly) == [])
    #expect(words["open the key file"] == "done")
    #expect(words["open an Internet socket (TCP)"] == "done")
    #expect(words["start a process"] == "done")
  }

  @Test(arguments: Confined.Starter.all, Confined.Build.allCases.filter { $0 != .deadly })
  func workerIsDeniedAll(starter: Confined.Starter, build: Confined.Build) throws {
    defer { world.remove() }
    let words = try run("probe-worker", starter, build: build)
    #expect(words.lines.last == ["ended", "0"])
    #expect(words.lines.count > 55)
    #expect(words.lines.dropLast().map { $0[0] } == words.refused)
  }

  @Test(arguments: Confined.Starter.all, Confined.Build.allCases.filter { $0 != .deadly })
  func parentIsDeniedAll(starter: Confined.Starter, build: Confined.Build) throws {
    defer { world.remove() }
    let words = try run("probe-parent", starter, build: build)
    #expect(words.lines.count > 45)
    #expect(words.lines.map { $0[0] } == words.refused)
  }

  @Test(arguments: Confined.Starter.all, Confined.Build.allCases.filter { $0 != .deadly })
  func parentCanWork(starter: Confined.Starter, build: Confined.Build) throws {
    defer { world.remove() }
    let words = try run("parent", starter, build: build)
    #expect(words.status == 0)
    #expect(words["user"]?.hasPrefix("0 ") == false)
    #expect(words["dumpable"] == "0")
    #expect(words["new privileges"] == "0")
    for what in ["read the database", "convert Korean", "start a thread", "make a folder", "remove a folder", "kill a child"] {
      #expect(words[what] == "done", "\(what)")
    }
    #expect(words["the child ended"] == "1009")
    #expect(words["signal its group"] == "EPERM")
    #expect(words["write the database"] == "EACCES")
  }

  @Test(arguments: Confined.Starter.all, Confined.Build.allCases.filter { $0 != .deadly })
  func workerHasItsFolderAndNoMore(starter: Confined.Starter, build: Confined.Build) throws {
    defer { world.remove() }
    let words = try run("worker", starter, build: build)
    #expect(words["user"]?.hasPrefix("0 ") == false)
    #expect(words["kept"] == "1")
    #expect(words["forgotten"] == "0")
    for what in [
      "make a file", "write a file", "cut a file", "empty a file", "rename a file", "remove a file", "make a folder", "list a folder",
      "remove a folder", "take memory", "answer",
    ] { #expect(words[what] == "done", "\(what)") }
    #expect(words["write far"] == "EFBIG")
    #expect(words["take too much memory"] == "ENOMEM")
    for what in [
      "link a file", "link a name", "make a socket in the folder", "make a pipe in the folder", "make another's file",
      "list another's folder", "cut another's file", "read the database",
    ] { #expect(words.refused.contains(what), "\(what): \(words[what] ?? "")") }
    #expect(words["answered"] == "1")
    #expect(words["ended"] == "0")
  }

  @Test(arguments: Confined.Starter.all)
  func endsAreSeen(starter: Confined.Starter) throws {
    defer { world.remove() }
    // SIGABRT is its own to send; a call numbered for another architecture is SIGSYS at once.
    #expect(try run("abort", starter).lines == [["ended", "1006"]])
    #if arch(x86_64)
      #expect(try run("foreign-call", starter).lines == [["ended", "1031"]])
    #endif
  }

  @Test(arguments: Confined.Starter.all)
  func nobodyOutlivesTheirParent(starter: Confined.Starter) throws {
    defer { world.remove() }
    // Standard output ends when the last process that has it does: a survivor would say so on it.
    #expect(try run("orphan", starter).lines == [["the worker waits", "done"]])
    #expect(try run("left-parent", starter).lines == [["the parent waits", "done"]])
  }

  @Test(arguments: Confined.Starter.all)
  func notByHalf(starter: Confined.Starter) throws {
    defer { world.remove() }
    func fault(_ word: String, user: String? = nil, temporary: String? = nil) throws -> [String]? {
      let words = try run(word, starter, user: user, temporary: temporary)
      return words.lines.first { $0[0] == "fault" }.map { Array($0.dropFirst()) }
    }
    #expect(try fault("parent") == nil)
    #expect(try fault("threads") == ["there is more than one thread, and only this one would be confined", "0"])
    #expect(try fault("lone-worker") == ["a worker is forked by Confinement.fork", "0"])
    #expect(try fault("unconfined-parent") == ["the worker's parent is not confined", "0"])
    #expect(try fault("parent", temporary: "/nonexistent") == ["opening /nonexistent", "2"])
    // Who is not root stays who they are.
    let isRoot = starter == .root
    #expect(try fault("parent", user: "ceralacca-nobody-at-all") == (isRoot ? ["there is no user ceralacca-nobody-at-all", "0"] : nil))
    #expect(try fault("parent", user: "root") == (isRoot ? ["the user root is root under another name", "0"] : nil))
  }

  @Test func nobodyUnlessSaid() throws {
    defer { world.remove() }
    guard getuid() == 0 else { return }
    func user(_ name: String?) throws -> String? { try run("parent", .root, user: name)["user"] }
    let ids = try Confined.expect(["sh", "-c", "echo $(id -u nobody) $(id -g nobody); echo $(id -u daemon) $(id -g daemon)"])
    #expect([try user(nil), try user("daemon")] == ids.split(separator: "\n").map(String.init))
  }
}
