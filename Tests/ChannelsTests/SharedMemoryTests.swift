import Glibc
import Octets
import Testing

@testable import Channels

@Suite struct SharedMemoryTests {
  @Test(arguments: [0, 1, 3, 64, 65, 1500])
  func piecesLieOneAfterTheOther(count: Int) throws {
    let pieces = (0..<count).map { index in Chunk([UInt8](repeating: UInt8(truncatingIfNeeded: index), count: index * 37 % 1000)) }
    let whole = pieces.flatMap(\.array)
    let memory = try SharedMemory.make(name: "test", pieces: pieces)
    #expect(try SharedMemory.map(memory, bytes: whole.count).array == whole)
  }

  @Test func slicesOfChunksAreWrittenAsTheyAre() throws {
    let whole = Chunk(Array(0..<200))
    let memory = try SharedMemory.make(name: String(repeating: "é", count: 500), pieces: [whole[10..<20], .empty, whole[150..<153]])
    #expect(try SharedMemory.map(memory, bytes: 13).array == Array(10..<20) + Array(150..<153))
  }

  @Test func theMappingOutlivesTheDescriptor() throws {
    let octets = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    var slice: Chunk?
    do { slice = try SharedMemory.map(try SharedMemory.make(name: "test", pieces: [Chunk(octets)]), bytes: octets.count)[10..<1_000_000] }
    #expect(slice?.array == Array(octets[10..<1_000_000]))
  }

  @Test func nobodyCanChangeIt() throws {
    let memory = try SharedMemory.make(name: "test", pieces: [Chunk("sealed")])
    #expect(pwrite(memory.number, "x", 1, 0) == -1)
    #expect(pwrite(memory.number, "x", 1, 6) == -1)
    #expect(ftruncate(memory.number, 2) == -1)
    #expect(ftruncate(memory.number, 10) == -1)
    // F_GET_SEALS, and against writing, growing, shrinking and further seals.
    #expect(fcntl(memory.number, 1034) & 15 == 15)
    #expect(Glibc.open("/proc/self/fd/\(memory.number)", O_RDWR | O_TRUNC) == -1)
    #expect(try SharedMemory.map(memory, bytes: 6).array == Array("sealed".utf8))
  }

  @Test(arguments: [-1, 5, 7, 4096, Int.max])
  func anotherLengthThanWasSaidIsRefused(bytes: Int) throws {
    let memory = try SharedMemory.make(name: "test", pieces: [Chunk("sealed")])
    let what = error { () throws(ChannelError) in _ = try SharedMemory.map(memory, bytes: bytes) }
    guard case .malformed = what else {
      Issue.record("\(String(describing: what))")
      return
    }
  }

  @Test func whatIsNoFileIsRefused() throws {
    let (one, _) = try Channel.pair()
    let what = error { () throws(ChannelError) in _ = try SharedMemory.map(one.descriptor, bytes: 1) }
    #expect(what == .malformed("a memory file that is not 1 octets long, or none at all"))
  }

  // A maker that keeps the right to shrink its file could end its reader by a bus error; one that may write could change what was
  // scanned after it was found clean.
  @Test(arguments: ["0", "fcntl.F_SEAL_SHRINK", "fcntl.F_SEAL_WRITE", "fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK"])
  func memoryThatCanStillChangeIsRefused(seals: String) throws {
    let (one, other) = try Channel.pair()
    let script = """
      memory = os.memfd_create('peer', os.MFD_ALLOW_SEALING)
      os.write(memory, b'12345')
      fcntl.fcntl(memory, fcntl.F_ADD_SEALS, \(seals))
      socket.send_fds(channel, [b'x'], [memory])
      """
    let child = try python(script, [other.descriptor])
    #expect(child.wait() == "exit code 0")
    let memory = try #require(try one.receive(waitingMilliseconds: patienceMilliseconds)?.descriptor)
    let what = error { () throws(ChannelError) in _ = try SharedMemory.map(memory, bytes: 5) }
    #expect(what == .malformed("a memory file that is not sealed"))
  }
}
