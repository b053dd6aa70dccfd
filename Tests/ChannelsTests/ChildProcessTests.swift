import Foundation
import Octets
import Testing

@testable import Channels

@Suite struct ChildProcessTests {
  private func shell(_ script: String, environment: [String] = [], _ descriptors: [Descriptor] = []) throws -> ChildProcess {
    try ChildProcess.spawn(path: "/bin/sh", arguments: ["-c", script], environment: environment, descriptors: descriptors)
  }

  @Test(arguments: [
    ("exit 0", "exit code 0"), ("exit 255", "exit code 255"), ("kill -SEGV $$", "killed by signal 11 (Segmentation fault)"),
    ("kill -KILL $$", "killed by signal 9 (Killed)"), ("exit $#", "exit code 0"),
  ])
  func howItEndedIsTold(script: String, words: String) throws {
    let child = try shell(script)
    #expect(child.wait() == words)
    #expect(child.poll() == words)
    child.kill()
    #expect(child.wait() == words)
  }

  @Test func argumentsAndEnvironmentAreAsGiven() throws {
    let (one, other) = try Channel.pair()
    let child = try ChildProcess.spawn(
      path: "/usr/bin/python3",
      arguments: ["-I", "-c", "import os, sys; os.write(3, repr((sys.argv[1:], sorted(os.environ.items()))).encode())", "a b", ""],
      environment: ["ONE=1", "TWO=due è"], descriptors: [other.descriptor])
    #expect(child.wait() == "exit code 0")
    let told = try #require(try one.receive(waitingMilliseconds: patienceMilliseconds)?.packet)
    let text = String(decoding: told, as: UTF8.self)
    // The interpreter itself may set LC_CTYPE.
    let expected = "(['a b', ''], [('ONE', '1'), ('TWO', 'due è')])"
    #expect(text.replacingOccurrences(of: "('LC_CTYPE', 'C.UTF-8'), ", with: "") == expected)
  }

  @Test func whatCannotBeStartedIsTold() {
    for (path, number) in [("/nowhere/at-all", ENOENT), ("/dev/null", EACCES), ("sh", ENOENT)] {
      let what = error { () throws(ChannelError) in _ = try ChildProcess.spawn(path: path) }
      #expect(what == .system(call: path, errno: number))
    }
    let zero = error { () throws(ChannelError) in _ = try ChildProcess.spawn(path: "/bin/sh", arguments: ["a\0b"]) }
    #expect(zero == .malformed("a zero octet in the command line of a process"))
    let closed = error { () throws(ChannelError) in _ = try ChildProcess.spawn(path: "/bin/sh", descriptors: [Descriptor(owning: -1)]) }
    #expect(closed == .system(call: "/bin/sh", errno: EBADF))
  }

  @Test func onlyTheGivenDescriptorsAreOpen() throws {
    let (one, other) = try Channel.pair()
    // Open in this process and not close-on-exec: the child must not have it.
    let stray = dup(open("/dev/null", O_RDONLY))
    defer { close(stray) }
    let script = """
      import os
      told = [(n, os.readlink(f'/proc/self/fd/{n}').split(':')[0]) for n in range(0, 64) if os.path.exists(f'/proc/self/fd/{n}')
              or os.path.lexists(f'/proc/self/fd/{n}')]
      os.write(3, ' '.join(f'{n}={what}' for n, what in told if n > 2 or n == 0).encode())
      """
    let memory = try SharedMemory.make(name: "extra", pieces: [])
    let child = try ChildProcess.spawn(
      path: "/usr/bin/python3", arguments: ["-I", "-c", script], descriptors: [other.descriptor, memory, memory])
    #expect(child.wait() == "exit code 0")
    let told = String(decoding: try #require(try one.receive(waitingMilliseconds: 0)?.packet), as: UTF8.self)
    #expect(told == "0=/dev/null 3=socket 4=/memfd 5=/memfd")
  }

  // Where one of the descriptors has a number that another is to become, a careless order would undo it.
  @Test func descriptorsComeInTheirOrderWhateverTheirNumbers() throws {
    var memories: [Descriptor] = []
    for index in 0..<8 { memories.append(try SharedMemory.make(name: "m", pieces: [Chunk("m\(index)")])) }
    for order in [memories, memories.reversed(), Array(memories[4...] + memories[..<4])] {
      let (one, other) = try Channel.pair()
      let script = "import os; os.write(11, b' '.join(os.pread(n, 2, 0) for n in range(3, 11)))"
      let child = try ChildProcess.spawn(
        path: "/usr/bin/python3", arguments: ["-I", "-c", script], descriptors: order + [other.descriptor])
      #expect(child.wait() == "exit code 0")
      let told = try #require(try one.receive(waitingMilliseconds: 0)?.packet)
      let expected = try order.map { String(decoding: try SharedMemory.map($0, bytes: 2).array, as: UTF8.self) }
      #expect(String(decoding: told, as: UTF8.self) == expected.joined(separator: " "))
    }
  }

  @Test func moreDescriptorsThanThereArePlacesForAreRefused() throws {
    let memory = try SharedMemory.make(name: "m", pieces: [])
    let many = [Descriptor](repeating: memory, count: 17)
    let what = error { () throws(ChannelError) in _ = try ChildProcess.spawn(path: "/bin/sh", descriptors: many) }
    #expect(what == .system(call: "/bin/sh", errno: EINVAL))
  }

  @Test func signalsAreAsANewProcessHasThem() throws {
    let (one, other) = try Channel.pair()
    var blocked = sigset_t()
    var before = sigset_t()
    sigemptyset(&blocked)
    sigaddset(&blocked, SIGTERM)
    sigaddset(&blocked, SIGUSR1)
    pthread_sigmask(SIG_BLOCK, &blocked, &before)
    let handled = signal(SIGUSR2, SIG_IGN)
    defer {
      signal(SIGUSR2, handled)
      pthread_sigmask(SIG_SETMASK, &before, nil)
    }
    let child = try shell("grep -E 'Sig(Blk|Ign)' /proc/self/status >&3", [other.descriptor])
    #expect(child.wait() == "exit code 0")
    let told = String(decoding: try #require(try one.receive(waitingMilliseconds: 0)?.packet), as: UTF8.self)
    // Signals 32 and 33 are the C library's own; it has them ignored until the child uses them.
    let settled = told.replacingOccurrences(of: "0000000180000000", with: "0000000000000000")
    #expect(settled == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n")
  }

  @Test func itRunsUntilItEnds() throws {
    let (one, other) = try Channel.pair()
    let child = try shell("head -c 1 <&3; exit 7", [other.descriptor])
    #expect(child.poll() == nil)
    #expect(child.wait(waitingMilliseconds: 1) == nil)
    #expect(getpgid(child.id) == child.id)
    try one.send([10])
    #expect(child.wait() == "exit code 7")
  }

  @Test func everyoneWhoWaitsIsToldTheSame() throws {
    let (one, other) = try Channel.pair()
    let (news, told) = try Channel.pair()
    let child = try shell("exec head -c 1 <&3", [other.descriptor])
    for _ in 0..<4 { Thread.detachNewThread { try? told.send(Array(child.wait().utf8)) } }
    child.kill()
    for _ in 0..<4 {
      let words = try news.receive(waitingMilliseconds: patienceMilliseconds)?.packet
      #expect(words == Array("killed by signal 9 (Killed)".utf8))
    }
    withExtendedLifetime(one) {}
  }

  @Test func aChildThatNobodyHoldsIsEnded() throws {
    let one: Channel
    do {
      let (mine, its) = try Channel.pair()
      one = mine
      // Replaces the shell: a child of the shell's own would live on, and hold the channel.
      let child = try shell("exec head -c 1 <&3", [its.descriptor])
      #expect(child.poll() == nil)
    }
    #expect(error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: patienceMilliseconds) } == .closed)
  }

  @Test func aStatusIsPutIntoWords() {
    #expect(ChildProcess.words(forStatus: 0x0300) == "exit code 3")
    #expect(ChildProcess.words(forStatus: 6) == "killed by signal 6 (Aborted)")
    #expect(ChildProcess.words(forStatus: 0x80 | 31) == "killed by signal 31 (Bad system call)")
    #expect(ChildProcess.words(forStatus: 40) == "killed by signal 40 (unknown)")
  }
}
