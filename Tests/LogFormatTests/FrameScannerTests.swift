import EventModel
import LogFormat
import Testing

@Suite struct FrameScannerTests {
  private func scan(_ image: LogImage, claimedSize: Int? = nil) -> ScanResult {
    var scanner = FrameScanner(
      MemorySource(bytes: image.bytes, claimedSize: claimedSize), identity: image.header.identity)
    return scanner.scan(from: FileHeader.size)
  }

  @Test func `a scan finds every frame at its place`() {
    var image = LogImage()
    var placed = [image.appendEpoch(watermark: 100)]
    for _ in 0..<40 { placed.append(image.append(watermark: 100)) }
    let result = scan(image)
    #expect(result.frames.map(\.position) == placed.map(\.range.lowerBound))
    #expect(result.frames.map(\.checksum) == placed.map(\.checksum))
    #expect(result.endOfData == image.bytes.count && result.unsupported == nil)
  }

  @Test func `a scan finds what stands behind a megabyte of damage`() {
    var random = SeededRandom(4)
    var image = LogImage()
    image.append(watermark: 100)
    image.bytes += random.bytes(1 << 20)
    let behind = image.append(watermark: 100)
    #expect(scan(image).frames.map(\.position).last == behind.range.lowerBound)
    #expect(scan(image).frames.count == 2)
  }

  @Test func `a frame behind zeros is found although the file calls it a hole`() {
    var image = LogImage()
    image.append(watermark: 100)
    image.bytes += [UInt8](repeating: 0, count: 1 << 20)
    let behind = image.append(watermark: 100)
    let source = MemorySource(bytes: image.bytes, isCalledHole: true)
    var scanner = FrameScanner(source, identity: image.header.identity)
    let found = scanner.scan(from: FileHeader.size).frames.map(\.position)
    #expect(found.count == 2 && found.last == behind.range.lowerBound)
  }

  @Test func `a file that is shorter than it claims ends the scan`() {
    var image = LogImage()
    image.append(watermark: 100)
    let result = scan(image, claimedSize: image.bytes.count + 5_000)
    #expect(result.frames.count == 1 && result.endOfData == image.bytes.count)
  }

  @Test func `a frame of an unknown codec is reported and passed over`() {
    var image = LogImage()
    let frame = image.append(watermark: 100)
    let last = image.append(watermark: 100)
    let start = frame.range.lowerBound
    image.bytes[start + 9] = 9
    for index in 4..<8 { image.bytes[start + index] = 0 }
    let seed = image.header.identity.seed(at: FilePosition(start))
    let header = Array(image.bytes[start..<frame.body])
    let sum = crc32c(header, seed: seed)
    for index in 0..<4 {
      image.bytes[start + 4 + index] = UInt8(truncatingIfNeeded: sum >> (8 * index))
    }
    let result = scan(image)
    #expect(result.unsupported?.error == .unsupportedFeatures(9))
    #expect(result.unsupported?.position == start)
    #expect(result.frames.map(\.position) == [last.range.lowerBound])
  }

  @Test func `every flipped bit of a frame's sections is found`() {
    var image = LogImage()
    let placed = image.append(watermark: 100)
    let whole = image.bytes
    let sections = placed.body * 8..<(placed.body + 200) * 8
    for bit in sections {
      image.bytes = whole.flippingBit(bit)
      var scanner = FrameScanner(MemorySource(bytes: image.bytes), identity: image.header.identity)
      let frames = scanner.scan(from: FileHeader.size).frames
      let isIntact = scanner.isIntact(frames[0])
      #expect(!isIntact, "bit \(bit)")
    }
  }

  @Test func `a scan of random bytes finds nothing and ends`() {
    var random = SeededRandom(5)
    for size in [0, 1, 63, 64, 65, 127, 128, 129, 5_000, 300_001] {
      var image = LogImage()
      image.bytes = random.bytes(size)
      let result = scan(image)
      #expect(result.frames.isEmpty && result.endOfData <= max(size, FileHeader.size))
    }
  }
}
