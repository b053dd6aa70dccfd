import Foundation
import Octets
import ScanEngine
import ScanWire
import Testing

/// libclamav's messages come by one outlet, so that loads of several tests at once would be told of each other's.
@Suite(.serialized) struct EngineTests {
  private static let eicar = ScanAnswer.found(.infected("Eicar-Test-Signature.UNOFFICIAL"))

  @Suite struct Finding {
    @Test(arguments: [
      "data", "zipped(data)", "zipped(zipped(data))", "gzip.compress(data)", "mail(data)", "mail(zipped(zipped(data)))",
      "mail(b'nothing', data)", "mail(mail(data))", "b'<html><body>' + data + b'</body></html>'", "b'Received: by me\\r\\n\\r\\n' + data",
      "os.urandom(25 << 20) + data", "mail(os.urandom(25 << 20) + data)",
    ])
    func eicarIsFoundWhereverItIs(_ content: String) throws {
      let engine = try Materials.engine()
      #expect(engine.scan(try Materials.made(content)) == EngineTests.eicar)
      #expect(engine.scan(try Materials.made(content, input: Array("a harmless text".utf8))) == .found(.clean))
    }

    @Test func nothingIsClean() throws {
      #expect(try Materials.engine().scan(.empty) == .found(.clean))
    }

    /// The distribution's own samples, each a wrapping of one small program.
    @Test func samplesOfClamAVAreFound() throws {
      let samples = "/usr/share/clamav-testfiles"
      guard let names = try? FileManager.default.contentsOfDirectory(atPath: samples) else { return }
      let folder = try Folder()
      try folder.write("test.hdb", "aa15bcf478d165efd2065190eb473bcb:544:ClamAV-Test-File\n")
      let engine = try Materials.engine(folder.path)
      var missed: [String] = []
      for name in names.sorted() {
        let content = Chunk([UInt8](try Data(contentsOf: URL(filePath: "\(samples)/\(name)"))))
        switch engine.scan(content) {
        case .found(.infected("ClamAV-Test-File.UNOFFICIAL")): break
        case let other: missed.append("\(name): \(other)")
        }
      }
      // The packers and installers need signatures of the official database to be recognised or unpacked.
      #expect(names.count > 30)
      #expect(missed.count <= names.count / 3, "\(missed)")
      #expect(missed.allSatisfy { !$0.contains("failed") }, "\(missed)")
    }
  }

  @Suite struct Suspecting {
    @Test func anEncryptedArchiveIsNamed() throws {
      let content = try Materials.made("mail(locked(data))")
      #expect(try Materials.engine().scan(content) == .found(.encrypted("Heuristics.Encrypted.Zip")))
      #expect(try Materials.engine(ScanOptions(heuristics: false)).scan(content) == .found(.encrypted("Heuristics.Encrypted.Zip")))
      #expect(try Materials.engine(ScanOptions(alertsEncrypted: false)).scan(content) == .found(.clean))
    }

    @Test(arguments: [
      (ScanOptions(maximumFileBytes: 1 << 20), "mail(gzip.compress(bytes(2 << 20) + data))", "Heuristics.Limits.Exceeded.MaxFileSize"),
      (ScanOptions(maximumFileBytes: 1 << 20), "mail(zipped(bytes(2 << 20) + data))", "Limits.FileSize"),
      (ScanOptions(maximumFileBytes: 1 << 20), "mail(zipped(bytes(2 << 20) + data, kind=zipfile.ZIP_BZIP2))", "Limits.FileSize"),
      (
        ScanOptions(maximumScanBytes: 1 << 20), "mail(*[zipped(os.urandom(300 << 10)) for _ in range(8)], data)",
        "Heuristics.Limits.Exceeded.MaxScanSize"
      ),
      (ScanOptions(maximumRecursion: 3), "mail(zipped(zipped(zipped(zipped(data)))))", "Heuristics.Limits.Exceeded.MaxRecursion"),
      (ScanOptions(maximumFiles: 10), "mail(*[zipped(os.urandom(99)) for _ in range(40)], data)", "Heuristics.Limits.Exceeded.MaxFiles"),
      (
        ScanOptions(maximumFiles: 10, heuristics: false), "mail(*[zipped(os.urandom(99)) for _ in range(40)], data)",
        "Heuristics.Limits.Exceeded.MaxFiles"
      ),
    ])
    func aLimitIsNeverClean(_ options: ScanOptions, _ content: String, _ name: String) throws {
      let answer = try Materials.engine(options).scan(try Materials.made(content))
      #expect(answer == .found(.limits(name)))
      #expect(try Materials.engine().scan(try Materials.made(content)) == EngineTests.eicar)
    }

    @Test func whatIsEncryptedDoesNotHideALimit() throws {
      let engine = try Materials.engine(ScanOptions(maximumRecursion: 4))
      let content = try Materials.made("mail(locked(b'secret'), zipped(zipped(zipped(zipped(zipped(data))))))")
      #expect(engine.scan(content) == .found(.limits("Heuristics.Limits.Exceeded.MaxRecursion")))
    }

    @Test func aThreatCountsMoreThanSuspicions() throws {
      let engine = try Materials.engine(ScanOptions(maximumRecursion: 4))
      let content = try Materials.made("mail(locked(b'secret'), zipped(zipped(zipped(zipped(zipped(b'deep'))))), data)")
      #expect(engine.scan(content) == EngineTests.eicar)
    }

    @Test func timeThatIsOverIsALimit() throws {
      let engine = try Materials.engine()
      let content = try Materials.made("mail(*[zipped(os.urandom(1 << 20)) for _ in range(30)])")
      guard case .found(.limits) = engine.scan(content, milliseconds: 1) else {
        Issue.record("\(engine.scan(content, milliseconds: 1))")
        return
      }
      #expect(engine.scan(content) == .found(.clean))
    }
  }

  @Suite struct Loading {
    @Test func aFileIsNamedByItsDigest() throws {
      let folder = try Folder()
      let path = try folder.write("laboratory.ndb", Materials.signatures)
      let version = try Materials.engine(path).version
      let digest = try Materials.python(
        "import hashlib, sys; sys.stdout.write(hashlib.sha256(open('input', 'rb').read()).hexdigest()[:8])",
        input: Array(Materials.signatures.utf8))
      #expect(version.engine == ScanEngine.name)
      #expect(ScanEngine.name.hasPrefix("ClamAV 1."))
      #expect(version.database == "laboratory.ndb \(String(decoding: digest.array, as: UTF8.self))")
      #expect(version.signatures == 3)
      // As a folder, beside a file that libclamav does not know.
      try folder.write("README", "no signatures")
      #expect(try Materials.engine(folder.path).version == version)
    }

    @Test func manyFilesHaveOneName() throws {
      let folder = try Folder()
      for number in 1...9 { try folder.write("part\(number).ndb", Materials.line("Part-\(number)", Materials.eicar + [UInt8(number)])) }
      let version = try Materials.engine(folder.path).version
      #expect(version.database.hasPrefix("9 files "))
      #expect(version.signatures == 9)
      try folder.write("part9.ndb", Materials.line("Part-9", Materials.invented))
      #expect(try Materials.engine(folder.path).version.database != version.database)
    }

    @Test func twoEnginesStandBesideEachOther() throws {
      let folder = try Folder()
      let path = try folder.write("laboratory.ndb", Materials.signatures)
      let old = try Materials.engine(path)
      try folder.write("laboratory.ndb", Materials.signatures + Materials.line("Ceralacca-Invented-2", Materials.later))
      let new = try Materials.engine(path)
      let content = Chunk(Materials.later)
      #expect(old.scan(content) == .found(.clean))
      #expect(new.scan(content) == .found(.infected("Ceralacca-Invented-2.UNOFFICIAL")))
      #expect(old.scan(Chunk(Materials.eicar)) == EngineTests.eicar)
      #expect(old.version.database != new.version.database)
    }

    @Test func aBrokenDatabaseIsNamed() throws {
      let folder = try Folder()
      try folder.write("good.ndb", Materials.signatures)
      try folder.write("torn.ndb", Materials.signatures + "Torn:0:*:58354f2")
      let error = #expect(throws: ScanEngineError.self) { try Materials.engine(folder.path) }
      #expect("\(try #require(error))".contains("torn.ndb"))
      try folder.write("torn.ndb", "not a signature at all\n")
      let other = #expect(throws: ScanEngineError.self) { try Materials.engine(folder.path) }
      #expect("\(try #require(other))".contains("torn.ndb"))
      try folder.write("torn.ndb", Materials.line("Whole", Materials.later))
      #expect(try Materials.engine(folder.path).version.signatures == 4)
    }

    @Test func aBrokenArchiveOfSignaturesIsNamed() throws {
      let folder = try Folder()
      try folder.write("daily.cvd", "ClamAV-VDB:01 Jan 2026 00-00 +0000:27801:1:90:0123456789abcdef0123456789abcdef:x:nobody:1\n")
      let error = #expect(throws: ScanEngineError.self) { try Materials.engine(folder.path) }
      #expect("\(try #require(error))".contains("daily.cvd"))
    }

    @Test func noDatabaseIsNoEngine() throws {
      let folder = try Folder()
      #expect(throws: ScanEngineError.empty(path: folder.path)) { try Materials.engine(folder.path) }
      try folder.write("README", "no signatures")
      #expect(throws: ScanEngineError.empty(path: folder.path)) { try Materials.engine(folder.path) }
      let empty = try folder.write("empty.ndb", "")
      #expect(throws: ScanEngineError.self) { try Materials.engine(folder.path) }
      #expect(throws: ScanEngineError.self) { try Materials.engine(empty) }
      let absent = folder.path + "/absent"
      #expect(throws: ScanEngineError.unreadable(path: absent, "No such file or directory")) { try Materials.engine(absent) }
    }
  }
}
