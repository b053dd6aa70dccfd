import Foundation
import Octets
import SealedArchive
import Testing

@Suite struct PlainArchiveTests {
  let desk = Desk()

  private func member(_ path: String, _ text: String) -> PlainArchive.Member { PlainArchive.Member(path: path, octets: Array(text.utf8)) }

  private var sample: [PlainArchive.Member] {
    [
      member("estratto.html", String(repeating: "<p>città</p>\n", count: 400)), member("eventi/17.json", "{}"),
      member("eventi/18.json", ""),
      PlainArchive.Member(path: "sigilli/5/sigillo.p7m", octets: Entropy.bytes(5000)),
    ]
  }

  private func put(_ archive: [UInt8]) throws -> String {
    let path = "\(desk.path)/\(UUID().uuidString).zip"
    try PlainArchive.write(archive, to: path)
    return path
  }

  @Test func everyProgramOpensItAndItIsRepeatable() throws {
    let members = sample
    let archive = try PlainArchive.make(members)
    #expect(try PlainArchive.make(members) == archive)
    #expect(try PlainArchive.read(archive).members == members)
    #expect(try PlainArchive.read(archive).packing == .own)
    let path = try put(archive)
    #expect(try desk.sevenZip("t", path).code == 0)
    #expect(try desk.sevenZip("x", "-o\(desk.path)/there", path).code == 0)
    for one in members { #expect(desk.content("there/\(one.path)") == one.octets) }
    #expect(try desk.sevenZip("l", "-slt", path).words.contains("Modified = 1980-01-01 00:00:00"))
    #expect(throws: SealedArchiveError.exists(path: path)) { try PlainArchive.write(archive, to: path) }
  }

  @Test func theSameInAnyTimeZone() throws {
    let members = sample.dropLast().map { $0 }
    let here = try PlainArchive.make(members)
    let before = getenv("TZ").map { String(cString: $0) }
    setenv("TZ", "Pacific/Auckland", 1)
    tzset()
    defer {
      if let before { setenv("TZ", before, 1) } else { unsetenv("TZ") }
      tzset()
    }
    #expect(try PlainArchive.make(members) == here)
  }

  @Test func everyBitThatIsChangedIsSeen() throws {
    let members = [member("a.txt", "uno, due, tre"), member("b/c.txt", String(repeating: "x", count: 200))]
    let archive = try PlainArchive.make(members)
    for at in archive.indices {
      for bit in 0..<8 {
        var changed = archive
        changed[at] ^= 1 << bit
        // Either it cannot be read any more, or its frame is not its own any more.
        guard let contents = try? PlainArchive.read(changed) else { continue }
        #expect(contents.packing == .changed, "octet \(at), bit \(bit)")
        if contents.packing != .changed { return }
      }
    }
  }

  @Test func everyEndIsRead() throws {
    let archive = try PlainArchive.make([member("a.txt", "uno")])
    for count in 0..<archive.count { #expect((try? PlainArchive.read(Array(archive.prefix(count))))?.packing != .own) }
    for count in [1, 2, 21, 22, 100] {
      #expect((try? PlainArchive.read(archive + Entropy.bytes(count)))?.packing != .own)
    }
  }

  @Test func anotherProgramsArchiveIsRead() throws {
    let members = sample
    let path = try put(try PlainArchive.make(members))
    #expect(try desk.sevenZip("x", "-o\(desk.path)/there", path).code == 0)
    #expect(try desk.sevenZip("a", "-tzip", "\(desk.path)/again.zip", "\(desk.path)/there/.").code == 0)
    let again = try #require(desk.content("again.zip"))
    let contents = try PlainArchive.read(again)
    #expect(contents.packing == .foreign)
    #expect(contents.members.sorted { $0.path < $1.path } == members.sorted { $0.path < $1.path })
  }

  @Test func boundsHold() throws {
    let archive = try PlainArchive.make([member("a.txt", String(repeating: "a", count: 10_000)), member("b.txt", "b")])
    func fault(_ change: (inout PlainArchive.Bounds) -> Void) -> PlainArchiveError? {
      var bounds = PlainArchive.Bounds()
      change(&bounds)
      do throws(PlainArchiveError) {
        _ = try PlainArchive.read(archive, bounds: bounds)
        return nil
      } catch {
        return error
      }
    }
    #expect(fault { $0.archiveBytes = archive.count } == nil)
    #expect(fault { $0.archiveBytes = archive.count - 1 } == .tooLarge("it has more than \(archive.count - 1) octets"))
    #expect(fault { $0.members = 1 } == .tooLarge("it has more than 1 files"))
    #expect(fault { $0.memberBytes = 9_999 } == .tooLarge("a.txt goes beyond 9999 octets"))
    #expect(fault { $0.totalBytes = 10_000 } == .tooLarge("b.txt goes beyond 0 octets"))
    #expect(fault { $0.totalBytes = 10_001 } == nil)
  }

  @Test func whatLeadsAstrayIsRefused() throws {
    for path in ["", "/etc/passwd", "../a", "a/../b", "a//b", "./a", "a\\b", "a\u{0}b", "a\nb", "a/"] {
      #expect(throws: SealedArchiveError.unusableMembers) { try PlainArchive.make([member(path, "x")]) }
    }
    #expect(throws: SealedArchiveError.unusableMembers) { try PlainArchive.make([]) }
    #expect(throws: SealedArchiveError.unusableMembers) { try PlainArchive.make([member("a", ""), member("a", "")]) }
    // The same from somebody else's program: the name is changed in the header and in the directory.
    let archive = try PlainArchive.make([member("aabbcc", "x")])
    func renamed(_ name: String) -> [UInt8] {
      replace(archive, "aabbcc", name)
    }
    for name in ["../abc", "/abcde", "a/../b", "aa\\bcc"] {
      #expect(throws: PlainArchiveError.self) { try PlainArchive.read(renamed(name)) }
    }
    #expect(try PlainArchive.read(renamed("aabbcd")).members.map(\.path) == ["aabbcd"])
  }

  @Test func sealedArchivesAreNotRead() throws {
    let path = "\(desk.path)/sealed.zip"
    try SealedArchive.write(
      [SealedArchive.Member(name: "a", content: [Chunk("x")], modifiedUnixSeconds: 0)], password: "12345678", to: path)
    #expect(throws: PlainArchiveError.unreadable("a is encrypted")) { try PlainArchive.read(try #require(desk.content("sealed.zip"))) }
    #expect(throws: PlainArchiveError.self) { try PlainArchive.read(Array("no zip at all".utf8)) }
    #expect(throws: PlainArchiveError.self) { try PlainArchive.read([]) }
  }

  private func replace(_ octets: [UInt8], _ old: String, _ new: String) -> [UInt8] {
    var out = octets
    let pattern = Array(old.utf8)
    for at in 0..<(out.count - pattern.count) where out[at..<(at + pattern.count)].elementsEqual(pattern) {
      out.replaceSubrange(at..<(at + pattern.count), with: new.utf8)
    }
    return out
  }
}
