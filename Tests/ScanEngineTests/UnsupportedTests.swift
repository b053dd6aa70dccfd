import Foundation
import Octets
import ScanEngine
import ScanWire
import Testing

/// What libclamav names but cannot unpack is never clean.
extension EngineTests {
  @Suite struct Unsupported {
    private static let prologue =
      Materials.prologue + """
        import struct, zlib
        def packed(content, *options, name="a.bin", kind="7z", into="packed.7z"):
            open(name, "wb").write(content)
            subprocess.run(["7z", "a", "-bso0", "-t" + kind, *options, into, name], check=True)
            return open(into, "rb").read()
        def rar4(content, method=0x30, name=b"a.bin"):
            def head(kind, flags, body):
                body = struct.pack("<BHH", kind, flags, 7 + len(body)) + body
                return struct.pack("<H", zlib.crc32(body) & 0xffff) + body
            size = struct.pack("<II", len(content), len(content))
            entry = size + struct.pack("<BIIBBHI", 3, zlib.crc32(content), 0, 20, method, len(name), 0x1a4) + name
            return b"Rar!\\x1a\\x07\\0" + head(0x73, 0, bytes(6)) + head(0x74, 0x8000, entry) + content + head(0x7b, 0x4000, b"")
        def rar5(content, method=0, name=b"a.bin"):
            def number(n): return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + number(n >> 7)
            def head(*parts):
                body = b"".join(p if isinstance(p, bytes) else number(p) for p in parts)
                body = number(len(body)) + body
                return struct.pack("<I", zlib.crc32(body)) + body
            size = len(content)
            entry = head(2, 2, size, 4, size, 0o644, struct.pack("<I", zlib.crc32(content)), method << 7, 1, len(name), name)
            return b"Rar!\\x1a\\x07\\1\\0" + head(1, 0, 0) + entry + content + head(5, 0, 0)
        def docx():
            out = io.BytesIO()
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
                z.writestr("[Content_Types].xml", "<?xml version='1.0'?><Types xmlns='x'/>")
                z.writestr("_rels/.rels", "<?xml version='1.0'?><Relationships/>")
                z.writestr("word/document.xml", "<?xml version='1.0'?><w:document>" + "hello " * 999 + "</w:document>")
                z.writestr("word/media/image1.png", os.urandom(50000), zipfile.ZIP_STORED)
            return out.getvalue()
        exe = b"MZ" + bytes(998)

        """
    private static let eicar = ScanAnswer.found(.infected("Eicar-Test-Signature.UNOFFICIAL"))
    private static let text = Array("a harmless text, a harmless text, a harmless text\n".utf8)

    private static func scan(_ expression: String, _ input: [UInt8], _ options: ScanOptions = ScanOptions()) throws -> ScanAnswer {
      try Materials.engine(options).scan(try Materials.python(prologue + "put(\(expression))\n", input: input))
    }

    @Test(arguments: [
      "packed(data * 50, '-m0=LZMA2')", "packed(data * 50, '-m0=LZMA')", "packed(data, '-m0=Copy')", "packed(data * 50, '-m0=PPMd')",
      "packed(data * 50, kind='zip')", "packed(data * 50, '-mm=Deflate64', kind='zip')", "packed(data * 50, '-mm=BZip2', kind='zip')",
      "mail(b'x', packed(data, '-m0=LZMA2'), b'y')", "zipped(packed(data, '-m0=LZMA2'))",
      "zipped(packed(data, '-m0=LZMA2'), kind=zipfile.ZIP_STORED)", "packed(packed(data, into='b.7z'), '-m0=Copy')",
    ])
    func whatIsUnpackedIsLookedAt(_ expression: String) throws {
      #expect(try Self.scan(expression, Materials.eicar) == Self.eicar)
      #expect(try Self.scan(expression, Self.text) == .found(.clean))
    }

    @Test(arguments: [
      ("packed(data * 50, '-m0=Deflate')", "7Z"), ("packed(data * 50, '-m0=BZip2')", "7Z"),
      ("mail(b'x', packed(data * 50, '-m0=Deflate'), b'y')", "7Z"), ("zipped(packed(data * 50, '-m0=Deflate'))", "7Z"),
      ("exe + packed(data * 50, '-m0=Deflate')", "7Z"), ("packed(data * 50, '-mm=LZMA', kind='zip')", "Zip"),
      ("packed(data * 50, '-mm=PPMd', kind='zip')", "Zip"), ("exe + packed(data * 50, '-mm=PPMd', kind='zip')", "Zip"),
      ("mail(b'x', packed(data * 50, '-mm=PPMd', kind='zip'))", "Zip"), ("rar4(zlib.compress(data), 0x33)", "RAR"),
      ("rar5(zlib.compress(data), 3)", "RAR"), ("mail(rar5(zlib.compress(data), 3), b'y')", "RAR"),
      ("exe + rar4(zlib.compress(data), 0x33)", "RAR"), ("exe + rar5(zlib.compress(data), 3)", "RAR"),
      ("rar5(zipped(b'harmless') + zlib.compress(data), 3)", "RAR"),
    ])
    func whatIsNotUnpackedIsALimit(_ expression: String, _ format: String) throws {
      let unsupported = ScanAnswer.found(.limits("Limits.Unsupported.\(format)"))
      #expect(try Self.scan(expression, Self.text) == unsupported)
      #expect(try Self.scan(expression, Materials.eicar) == unsupported)
      // A threat beside it is one.
      #expect(try Self.scan("mail(\(expression), b'hello', data)", Materials.eicar) == Self.eicar)
    }

    @Test(arguments: [
      ("packed(data, '-psecret')", "7Zip"), ("packed(data, '-psecret', '-mhe=on')", "7Zip"),
      ("packed(data, '-psecret', kind='zip')", "Zip"),
      ("packed(data, '-psecret', '-mem=AES256', kind='zip')", "Zip"), ("packed(data, '-psecret', '-mm=LZMA', kind='zip')", "Zip"),
      ("mail(b'x', packed(data, '-psecret', '-mhe=on'), packed(data, '-psecret', into='b.7z'))", "7Zip"),
    ])
    func whatIsEncryptedStaysSo(_ expression: String, _ kind: String) throws {
      #expect(try Self.scan(expression, Self.text) == .found(.encrypted("Heuristics.Encrypted.\(kind)")))
      #expect(try Self.scan(expression, Self.text, ScanOptions(alertsEncrypted: false)) == .found(.clean))
    }

    @Test func whatIsEncryptedDoesNotHideWhatIsUnsupported() throws {
      let content = "mail(locked(b'secret'), packed(data, '-psecret', into='b.7z'), rar5(zlib.compress(data), 3))"
      for alerts in [true, false] {
        #expect(try Self.scan(content, Self.text, ScanOptions(alertsEncrypted: alerts)) == .found(.limits("Limits.Unsupported.RAR")))
      }
    }

    @Test(arguments: [
      "docx()", "mail(docx(), docx())", "packed(b'', name='empty')", "b'7z\\xbc\\xaf\\x27\\x1c\\0\\4\\x8d\\x9b\\xd5\\x0f' + bytes(20)",
      "b'hello ' * 500 + b'Rar! is a mark, and Rar!\\x1a\\x07\\1\\0 is one too'",
      "exe + b'Rar!\\x1a\\x07\\0 7z\\xbc\\xaf\\x27\\x1c PK\\3\\4 PK\\1\\2'",
      "b'PK\\3\\4'", "b'text PK\\3\\4\\x14\\0\\0\\0\\x0e\\0'", "b'text PK\\1\\2\\x14\\0\\x14\\0\\0\\0\\x0e\\0' + bytes(16) + b'\\xff\\xff'",
      "os.urandom(8 << 20)",
    ])
    func whatHidesNothingIsClean(_ expression: String) throws {
      let answer = try Self.scan(expression, Self.text)
      #expect(answer == .found(.clean))
    }

    /// The distribution's own samples are all of what libclamav can unpack.
    @Test func samplesOfClamAVAreSupported() throws {
      let samples = "/usr/share/clamav-testfiles"
      guard let names = try? FileManager.default.contentsOfDirectory(atPath: samples) else { return }
      let engine = try Materials.engine()
      var unsupported: [String] = []
      for name in names.sorted() {
        let content = Chunk([UInt8](try Data(contentsOf: URL(filePath: "\(samples)/\(name)"))))
        if case .found(.limits(let limit)) = engine.scan(content) { unsupported.append("\(name): \(limit)") }
      }
      #expect(unsupported.isEmpty, "\(unsupported)")
    }
  }
}
