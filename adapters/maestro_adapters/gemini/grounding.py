"""What an answer leans on: gathered as it comes, told as citations at the end."""

from collections.abc import Hashable, Iterator
from itertools import chain

import msgspec

from maestro.v1 import content_pb2
from maestro_adapters.gemini.said import CitationMetadata, CitationSource, GroundingChunk, GroundingMetadata, Segment
from maestro_spi.answer import Answer

_metadata = msgspec.json.Decoder(GroundingMetadata).decode


class Grounding:
    """The sources of one answer. Google counts in bytes of the whole text; a citation counts characters of its part.

    What citations cannot hold (the search's own entry point, which has to be shown; which pages were fetched) is told
    as opaque blocks of the provider.
    """

    def __init__(self) -> None:
        self._texts: list[tuple[Hashable, list[str]]] = []
        self._repeats: list[CitationSource] = []
        self._leans: list[bytes] = []
        self._fetched = b""
        self.searches = 0

    def said(self, key: Hashable, text: str) -> None:
        """More of the text of the part known as `key`."""
        if not self._texts or self._texts[-1][0] != key:
            self._texts.append((key, []))
        self._texts[-1][1].append(text)

    def cite(self, told: CitationMetadata) -> None:
        """Sources that the text repeats."""
        for source in (*(told.citation_sources or ()), *(told.citations or ())):
            if source not in self._repeats:
                self._repeats.append(source)

    def lean(self, told: msgspec.Raw) -> None:
        """Sources that back the text; streams may tell of them more than once."""
        raw = bytes(told)
        if raw not in (b"{}", *self._leans):
            self._leans.append(raw)
            self.searches = max(self.searches, len(_metadata(raw).web_search_queries or ()))

    def fetch(self, told: msgspec.Raw) -> None:
        """The pages that were fetched; each telling includes the one before."""
        self._fetched = bytes(told)

    def tell(self, answer: Answer) -> None:
        """Say it all."""
        if self._texts:
            text = _Text(self._texts)
            leans = (text.backed(_metadata(raw)) for raw in self._leans)
            for key, citation in chain(text.repeated(self._repeats), *leans):
                answer.citation(citation, key=key)
        for raw in self._leans:
            answer.opaque("groundingMetadata", raw.decode(errors="replace"))
        if self._fetched:
            answer.opaque("urlContextMetadata", self._fetched.decode(errors="replace"))


class _Text:
    """The whole text of an answer, and where each part of it begins."""

    def __init__(self, texts: list[tuple[Hashable, list[str]]]) -> None:
        self._parts = [(key, "".join(fragments)) for key, fragments in texts]
        self._whole = "".join(text for _, text in self._parts)
        self._bytes = self._whole.encode(errors="replace")

    def repeated(self, sources: list[CitationSource]) -> Iterator[tuple[Hashable, content_pb2.Citation]]:
        for source in sources:
            key, start, end = self._place(*self._characters(source.start_index, source.end_index))
            citation = content_pb2.Citation(start_index=start, end_index=end, uri=source.uri, title=source.title)
            if source.license:
                citation.provider_json = msgspec.json.encode(source).decode()
            yield key, citation

    def backed(self, told: GroundingMetadata) -> Iterator[tuple[Hashable, content_pb2.Citation]]:
        chunks = told.grounding_chunks or []
        if not told.grounding_supports:
            for chunk in chunks:
                yield self._parts[-1][0], _citation(chunk)
        for support in told.grounding_supports or ():
            key, start, end = self._place(*self._find(support.segment or Segment()))
            scores = support.confidence_scores or []
            for number, index in enumerate(support.grounding_chunk_indices or ()):
                if 0 <= index < len(chunks):
                    citation = _citation(chunks[index])
                    citation.start_index, citation.end_index = start, end
                    if number < len(scores):
                        citation.score = scores[number]
                    yield key, citation

    def _find(self, segment: Segment) -> tuple[int, int]:
        """Where the segment is; where its words do not stand where it says, where they do."""
        start, end = self._characters(segment.start_index, segment.end_index)
        if segment.text and self._whole[start:end] != segment.text:
            found = self._whole.find(segment.text)
            if found >= 0:
                return found, found + len(segment.text)
        return start, end

    def _characters(self, start: int, end: int) -> tuple[int, int]:
        if len(self._bytes) == len(self._whole):
            return start, end
        before = self._bytes[: max(start, 0)].decode(errors="ignore")
        within = self._bytes[max(start, 0) : max(end, 0)].decode(errors="ignore")
        return len(before), len(before) + len(within)

    def _place(self, start: int, end: int) -> tuple[Hashable, int, int]:
        """The part that a range begins in, and the range within it."""
        begin = 0
        for key, text in self._parts:
            if start < begin + len(text):
                return key, max(start - begin, 0), min(max(end - begin, 0), len(text))
            begin += len(text)
        key, text = self._parts[-1]
        return key, len(text), len(text)


def _citation(chunk: GroundingChunk) -> content_pb2.Citation:
    source = chunk.web or chunk.maps or chunk.retrieved_context
    if source is None:
        return content_pb2.Citation(provider_json=msgspec.json.encode(chunk).decode())
    return content_pb2.Citation(uri=source.uri, title=source.title, cited_text=source.text)
