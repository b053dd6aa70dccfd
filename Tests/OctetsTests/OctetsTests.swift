import Testing

@testable import Octets

@Suite struct ChunkTests {
  @Test func slicesShareAndKeepTheStorageAlive() {
    var slice: Chunk?
    do {
      let whole = Chunk(Array(0..<100))
      slice = whole[10..<20][2..<5]
    }
    #expect(slice?.array == [12, 13, 14])
  }

  @Test func anEmptyChunkHasNoOctets() {
    #expect(Chunk.empty.array.isEmpty)
    #expect(Chunk([])[0..<0].isEmpty)
  }

  @Test func aBuilderGrowsAndGivesUpWhatItGathered() {
    var builder = ChunkBuilder(capacity: 1)
    var expected: [UInt8] = []
    for length in [0, 1, 63, 64, 65, 1000, 0, 7] {
      let piece = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ length) }
      builder.append(piece)
      expected += piece
    }
    #expect(builder.count == expected.count)
    let chunk = builder.freeze()
    #expect(chunk.array == expected)
    #expect(builder.count == 0)
    builder.append([1, 2])
    #expect(builder.freeze().array == [1, 2])
    #expect(chunk.array == expected)
  }
}

@Suite struct ScanTests {
  // Spans do not enter the macro's closures, so they are lent here.
  private func first(_ byte: UInt8, in bytes: [UInt8], from start: Int = 0) -> Int? { Scan.first(byte, in: bytes.span, from: start) }
  private func first(_ needle: [UInt8], in bytes: [UInt8]) -> Int? { Scan.first(needle, in: bytes.span) }
  private func hasHighBit(_ bytes: [UInt8]) -> Bool { Scan.hasHighBit(bytes.span) }

  @Test func findsWhatALoopFinds() {
    let bytes: [UInt8] = (0..<5000).map { UInt8(truncatingIfNeeded: ($0 &* 7919) >> 3) }
    for start in [0, 1, 17, 4999, 5000] {
      for byte in [UInt8(0), 10, 255] {
        #expect(first(byte, in: bytes, from: start) == bytes.indices.first { $0 >= start && bytes[$0] == byte })
      }
    }
    for start in [0, 700, 4997] {
      let needle = Array(bytes[start..<start + 3])
      #expect(first(needle, in: bytes) == (0...4997).first { Array(bytes[$0..<$0 + 3]) == needle })
    }
    #expect(first([], in: bytes) == nil)
    #expect(first(1, in: []) == nil)
  }

  @Test func seesEveryHighBit() {
    for length in [0, 1, 7, 8, 9, 64, 100] {
      #expect(!hasHighBit([UInt8](repeating: 0x7F, count: length)))
      for position in 0..<length {
        var bytes = [UInt8](repeating: 0x20, count: length)
        bytes[position] = 0x80
        #expect(hasHighBit(bytes))
      }
    }
  }

  @Test func crc32cHasItsKnownValue() {
    var crc = CRC32C()
    crc.update(Array("12345".utf8).span)
    crc.update(Array("6789".utf8).span)
    #expect(crc.value == 0xE306_9283)
  }
}

@Suite struct TextTests {
  @Test(arguments: [
    ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="), ("foobar", "Zm9vYmFy"),
  ])
  func base64OfRFC4648(plain: String, encoded: String) {
    #expect(String(decoding: Base64.encode(Array(plain.utf8)), as: UTF8.self) == encoded)
    #expect(Base64.decode(encoded.utf8) == Array(plain.utf8))
  }

  @Test(arguments: ["Z", "Zg", "Zg=", "Zg===", "Zm9v=", "Z*==", "=Zg=", "Zg==Zg=="])
  func wrongBase64IsRefused(text: String) { #expect(Base64.decode(text.utf8) == nil) }

  @Test func base64LinesAreShortAndEndInCRLF() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    let lines = Base64.encodeLines(bytes)
    #expect(lines.split(separator: 10).allSatisfy { $0.count <= 65 && $0.last == 13 })
    #expect(Base64.decode(lines) == bytes)
  }

  @Test func charsets() {
    #expect(Charset.decode([0x70, 0x65, 0x72, 0xF2], as: "iso-8859-1") == "però")
    #expect(Charset.decode([0xA4], as: "ISO-8859-15") == "€")
    #expect(Charset.decode([0x81, 0x41], as: "us-ascii") == "?A")
    #expect(Charset.decode([], as: "iso-8859-1") == "")
    #expect(Charset.decode([65], as: "no-such-set") == nil)
    #expect(Charset.decode([65], as: "utf-8//TRANSLIT") == nil)
  }

  @Test func asciiCase() {
    #expect(ASCII.equal("ANNA@Pec.IT", "anna@pec.it"))
    #expect(!ASCII.equal("À", "à"))
    #expect(ASCII.lowercased("ÀB") == "Àb")
    #expect(ASCII.escaped("a\r\nb\u{7F}è") == "a\\x0d\\x0ab\\x7fè")
    #expect(ASCII.escaped("fattura\u{202E}fdp.exe\u{9B}1m\u{2028}") == "fattura\\u{202e}fdp.exe\\u{9b}1m\\u{2028}")
    #expect(Hex.encode([0, 255, 16]) == "00ff10")
  }
}
