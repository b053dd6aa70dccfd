import Foundation
import Octets
import Testing

@testable import Channels

/// Long enough for any machine; no test takes it unless it fails.
let patienceMilliseconds = 30_000

/// A peer in another process that does with its socket, descriptor 3, what the script says.
func python(_ script: String, _ descriptors: [Descriptor]) throws -> ChildProcess {
  let opening = "import array, fcntl, os, socket\nchannel = socket.socket(fileno=3)\n"
  return try ChildProcess.spawn(path: "/usr/bin/python3", arguments: ["-I", "-c", opening + script], descriptors: descriptors)
}

/// The error that `body` throws, or nil.
func error(_ body: () throws(ChannelError) -> Void) -> ChannelError? {
  do { try body() } catch { return error }
  return nil
}

@Suite struct ChannelTests {
  @Test func packetsArriveWholeAndInOrder() throws {
    let (one, other) = try Channel.pair()
    let packets: [[UInt8]] = [[0], Array(repeating: 7, count: 1000), [1, 2, 3], Array(repeating: 9, count: Channel.maximumPacketBytes)]
    for packet in packets { try one.send(packet) }
    for packet in packets { #expect(try other.receive(waitingMilliseconds: nil)?.packet == packet) }
    try other.send([5])
    #expect(try one.receive(waitingMilliseconds: patienceMilliseconds)?.packet == [5])
  }

  @Test func nothingIsReceivedWhenNothingWasSent() throws {
    let (one, other) = try Channel.pair()
    #expect(try one.receive(waitingMilliseconds: 0) == nil)
    #expect(try one.receive(waitingMilliseconds: -5) == nil)
    #expect(try other.receive(waitingMilliseconds: 1) == nil)
  }

  @Test(arguments: [0, Channel.maximumPacketBytes + 1])
  func aPacketOfForbiddenLengthIsNotSent(length: Int) throws {
    let (one, other) = try Channel.pair()
    #expect(
      error { () throws(ChannelError) in try one.send([UInt8](repeating: 1, count: length)) } == .malformed("a packet of \(length) octets"))
    #expect(try other.receive(waitingMilliseconds: 0) == nil)
  }

  @Test func whatWasSentIsReadBeforeTheEndIsTold() throws {
    let one: Channel
    do {
      let (kept, gone) = try Channel.pair()
      try gone.send([1])
      one = kept
    }
    #expect(try one.receive(waitingMilliseconds: nil)?.packet == [1])
    #expect(error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: nil) } == .closed)
    #expect(error { () throws(ChannelError) in try one.send([1]) } == .closed)
  }

  @Test func sendingToNobodyRaisesNoSignal() throws {
    let one = try Channel.pair().0
    var pipe = sigset_t()
    var before = sigset_t()
    sigemptyset(&pipe)
    sigaddset(&pipe, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &pipe, &before)
    #expect(error { () throws(ChannelError) in try one.send([1]) } == .closed)
    var pending = sigset_t()
    sigpending(&pending)
    #expect(sigismember(&pending, SIGPIPE) == 0)
    pthread_sigmask(SIG_SETMASK, &before, nil)
  }

  @Test func aPeerThatGoesWithUnreadPacketsIsGone() throws {
    let one: Channel
    do {
      let (kept, gone) = try Channel.pair()
      try kept.send([1])
      one = kept
      _ = gone
    }
    #expect(error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: nil) } == .closed)
  }

  @Test func aPeerThatDoesNotReadHoldsNobodyUp() throws {
    let (one, other) = try Channel.pair()
    let packet = [UInt8](repeating: 3, count: 10_000)
    var sent = 0
    var failure: ChannelError?
    while failure == nil, sent < 10_000 {
      failure = error { () throws(ChannelError) in try one.send(packet, waitingMilliseconds: 0) }
      if failure == nil { sent += 1 }
    }
    #expect(failure == .full)
    #expect(sent > 0)
    for _ in 0..<sent { #expect(try other.receive(waitingMilliseconds: nil)?.packet == packet) }
    try one.send([1], waitingMilliseconds: 0)
    #expect(try other.receive(waitingMilliseconds: nil)?.packet == [1])
  }

  @Test func shuttingDownWakesWhoeverWaits() throws {
    let (one, other) = try Channel.pair()
    let (news, told) = try Channel.pair()
    for waiting in [one, other] {
      Thread.detachNewThread {
        let what = error { () throws(ChannelError) in _ = try waiting.receive(waitingMilliseconds: nil) }
        try? told.send([what == .closed ? 1 : 0])
      }
    }
    one.shutDown()
    for _ in 0..<2 { #expect(try news.receive(waitingMilliseconds: patienceMilliseconds)?.packet == [1]) }
    #expect(error { () throws(ChannelError) in try other.send([1]) } == .closed)
  }

  @Test func onlyAPacketSocketIsInherited() throws {
    let (one, other) = try Channel.pair()
    let copy = dup(one.descriptor.number)
    let inherited = try Channel.inherited(copy)
    #expect(fcntl(copy, F_GETFD) & FD_CLOEXEC != 0)
    try inherited.send([4])
    #expect(try other.receive(waitingMilliseconds: nil)?.packet == [4])

    let file = open("/dev/null", O_RDONLY | O_CLOEXEC)
    let stream = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
    for (number, errno) in [(file, ENOTSOCK), (stream, EPROTOTYPE), (Int32(-1), EBADF)] {
      let what = error { () throws(ChannelError) in _ = try Channel.inherited(number) }
      #expect(what == .system(call: "descriptor \(number)", errno: errno))
    }
    // They were not taken over: closing them is still this test's business.
    #expect(close(file) == 0 && close(stream) == 0)
  }

  @Test func errorsAreLinesForPeople() {
    #expect("\(ChannelError.system(call: "mmap", errno: ENOMEM))" == "mmap: Cannot allocate memory")
    #expect("\(ChannelError.closed)" == "the other side closed the channel")
  }
}

@Suite struct PassingTests {
  @Test func aDescriptorTravelsWithItsPacket() throws {
    let (one, other) = try Channel.pair()
    try one.send([1])
    try one.send([2], passing: try SharedMemory.make(name: "passed", pieces: [Chunk("octets")]))
    try one.send([3])
    #expect(try other.receive(waitingMilliseconds: nil)?.descriptor == nil)
    let passed = try #require(try other.receive(waitingMilliseconds: nil))
    #expect(passed.packet == [2])
    let descriptor = try #require(passed.descriptor)
    #expect(fcntl(descriptor.number, F_GETFD) & FD_CLOEXEC != 0)
    #expect(try SharedMemory.map(descriptor, bytes: 6).array == Array("octets".utf8))
    #expect(try other.receive(waitingMilliseconds: nil)?.descriptor == nil)
  }

  @Test func aDescriptorThatNobodyAskedForIsRefusedAndGone() throws {
    let (one, other) = try Channel.pair()
    let kept: Channel
    do {
      let (mine, passed) = try Channel.pair()
      kept = mine
      try one.send([1], passing: passed.descriptor)
    }
    let what = error { () throws(ChannelError) in _ = try other.receive(waitingMilliseconds: nil, takingDescriptor: false) }
    #expect(what == .malformed("a packet with descriptors that may not pass"))
    // The last copy was closed: its other end says so.
    #expect(error { () throws(ChannelError) in _ = try kept.receive(waitingMilliseconds: patienceMilliseconds) } == .closed)
  }

  @Test func twoDescriptorsAreRefusedAndGone() throws {
    let (one, other) = try Channel.pair()
    let kept: Channel
    let child: ChildProcess
    do {
      let (mine, passed) = try Channel.pair()
      kept = mine
      child = try python("socket.send_fds(channel, [b'x'], [4, 4])", [other.descriptor, passed.descriptor])
    }
    #expect(child.wait() == "exit code 0")
    let what = error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: patienceMilliseconds) }
    #expect(what == .malformed("a packet with descriptors that may not pass"))
    #expect(error { () throws(ChannelError) in _ = try kept.receive(waitingMilliseconds: patienceMilliseconds) } == .closed)
  }

  @Test func aPacketThatIsTooLongIsRefusedAndTheNextIsRead() throws {
    let (one, other) = try Channel.pair()
    let child = try python("channel.send(b'a' * 65537)\nchannel.send(b'b')", [other.descriptor])
    #expect(child.wait() == "exit code 0")
    let what = error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: patienceMilliseconds) }
    #expect(what == .malformed("a packet of more than 65536 octets"))
    #expect(try one.receive(waitingMilliseconds: patienceMilliseconds)?.packet == Array("b".utf8))
  }

  @Test func anEmptyPacketIsTakenForTheEnd() throws {
    let (one, other) = try Channel.pair()
    let child = try python("socket.send_fds(channel, [b''], [3])", [other.descriptor])
    #expect(child.wait() == "exit code 0")
    #expect(error { () throws(ChannelError) in _ = try one.receive(waitingMilliseconds: patienceMilliseconds) } == .closed)
  }
}
