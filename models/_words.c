/* words.py in C: the words of a text by their numbers, in an eighth of the time.
 *
 * What a word is stands in words.py alone: table, marks, what is ignored and the lengths
 * come from there with every call, and words.plainly() gives the same without this file.
 *
 * Every octet is looked at once.  Memory: a copy of the text, and 24 octets for each place
 * of the table, of which at least half are free.  Nothing is kept between calls.
 *
 * Raises: MemoryError; TypeError and ValueError when words.py calls it wrongly.
 */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define ROOM_FIRST 1024 /* words of most mails; a power of two, as all that follow */

typedef struct {
    uint32_t number;
    uint32_t length; /* 0: free */
    const unsigned char *word;
    PyObject *name; /* the same as bytes, ours */
} Place;

typedef struct {
    Place *places;
    size_t room, taken;
} Found;

typedef struct {
    uint32_t mask, start;
    PyObject *ignored;
    Py_ssize_t longest, piece, cut;
} Terms;

static uint32_t crc_of[256];

static void
fill_crc(void)
{
    for (uint32_t octet = 0; octet < 256; octet++) {
        uint32_t crc = octet;
        for (int bit = 0; bit < 8; bit++)
            crc = crc & 1 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
        crc_of[octet] = crc;
    }
}

static uint32_t
crc32_of(const unsigned char *word, size_t length, uint32_t start)
{
    uint32_t crc = ~start;
    while (length--)
        crc = crc_of[(crc ^ *word++) & 0xFF] ^ crc >> 8;
    return ~crc;
}

/* The place of a number, or the free one where it belongs; one in two is free. */
static Place *
place_of(Place *places, size_t room, uint32_t number)
{
    size_t at = number * 0x9E3779B1u & (room - 1);
    while (places[at].length && places[at].number != number)
        at = (at + 1) & (room - 1);
    return &places[at];
}

static int
grow(Found *found)
{
    size_t room = found->room ? found->room * 2 : ROOM_FIRST;
    Place *places = PyMem_Calloc(room, sizeof(Place));
    if (places == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (size_t at = 0; at < found->room; at++)
        if (found->places[at].length)
            *place_of(places, room, found->places[at].number) = found->places[at];
    PyMem_Free(found->places);
    found->places = places;
    found->room = room;
    return 0;
}

/* Of two words with one number the greater is kept, as bytes compare. */
static int
is_greater(const unsigned char *word, size_t length, const Place *than)
{
    size_t both = length < than->length ? length : than->length;
    int order = memcmp(word, than->word, both);
    return order > 0 || (order == 0 && length > than->length);
}

static int
add(Found *found, const unsigned char *word, size_t length, uint32_t number, PyObject *ignored)
{
    Place *place = place_of(found->places, found->room, number);
    if (place->length == length && memcmp(place->word, word, length) == 0)
        return 0;
    if (place->length && !is_greater(word, length, place))
        return 0;
    PyObject *name = PyBytes_FromStringAndSize((const char *)word, (Py_ssize_t)length);
    int is_ignored = name == NULL ? -1 : ignored == NULL ? 0 : PySet_Contains(ignored, name);
    if (is_ignored) {
        Py_XDECREF(name);
        return is_ignored < 0 ? -1 : 0;
    }
    found->taken += place->length == 0;
    Py_XDECREF(place->name);
    *place = (Place){number, (uint32_t)length, word, name};
    return found->taken * 2 > found->room ? grow(found) : 0;
}

/* A longer run is a code, and dropped, or a script without blanks, and cut into pieces. */
static int
add_pieces(Found *found, const unsigned char *run, Py_ssize_t length, const Terms *terms)
{
    if (length > terms->cut)
        length = terms->cut;
    for (Py_ssize_t at = 0; at < length; at += terms->piece) {
        size_t piece = (size_t)(length - at < terms->piece ? length - at : terms->piece);
        uint32_t number = crc32_of(run + at, piece, terms->start) & terms->mask;
        if (add(found, run + at, piece, number, NULL) < 0)
            return -1;
    }
    return 0;
}

static int
add_words(Found *found, unsigned char *text, Py_ssize_t size, const unsigned char *table,
          const Terms *terms)
{
    Py_ssize_t at = 0;
    while (at < size) {
        unsigned char octet = table[text[at]], high = 0;
        if (octet == ' ') {
            at++;
            continue;
        }
        Py_ssize_t begin = at;
        uint32_t crc = ~terms->start;
        do {
            text[at] = octet;
            high |= octet;
            crc = crc_of[(crc ^ octet) & 0xFF] ^ crc >> 8;
        } while (++at < size && (octet = table[text[at]]) != ' ');
        Py_ssize_t length = at - begin;
        int done = 0;
        if (length <= terms->longest)
            done = add(found, text + begin, (size_t)length, ~crc & terms->mask, terms->ignored);
        else if (high & 0x80)
            done = add_pieces(found, text + begin, length, terms);
        if (done < 0)
            return -1;
    }
    return 0;
}

static int
add_marks(Found *found, const Py_buffer *text, const Py_buffer *marks, const Terms *terms)
{
    const unsigned char *mark = marks->buf;
    for (Py_ssize_t at = 0; at < marks->len; at++) {
        uint32_t number = crc32_of(mark + at, 1, terms->start) & terms->mask;
        if (memchr(text->buf, mark[at], (size_t)text->len) != NULL &&
            add(found, mark + at, 1, number, NULL) < 0)
            return -1;
    }
    return 0;
}

static PyObject *
as_dict(const Found *found)
{
    PyObject *words = PyDict_New();
    for (size_t at = 0; words != NULL && at < found->room; at++) {
        if (!found->places[at].length)
            continue;
        PyObject *number = PyLong_FromUnsignedLong(found->places[at].number);
        if (number == NULL || PyDict_SetItem(words, number, found->places[at].name) < 0)
            Py_CLEAR(words);
        Py_XDECREF(number);
    }
    return words;
}

static void
forget(Found *found)
{
    for (size_t at = 0; at < found->room; at++)
        Py_XDECREF(found->places[at].name);
    PyMem_Free(found->places);
}

static PyObject *
numbered_in(const Py_buffer *text, const Py_buffer *table, const Py_buffer *marks,
            const Terms *terms)
{
    PyObject *words = NULL;
    Found found = {NULL, 0, 0};
    unsigned char *copy = PyMem_Malloc(text->len ? (size_t)text->len : 1);
    if (copy == NULL)
        return PyErr_NoMemory();
    memcpy(copy, text->buf, (size_t)text->len);
    if (grow(&found) == 0 && add_words(&found, copy, text->len, table->buf, terms) == 0 &&
        add_marks(&found, text, marks, terms) == 0)
        words = as_dict(&found);
    forget(&found);
    PyMem_Free(copy);
    return words;
}

PyDoc_STRVAR(numbered_doc,
"numbered(terms, text, start)\n--\n\n"
"Number -> word, as words.plainly() gives them; terms are the table, marks, what is ignored,\n"
"the mask, and in octets the longest word, a piece, and what is cut into pieces.");

static PyObject *
numbered(PyObject *self, PyObject *arguments)
{
    Py_buffer text, table, marks;
    Terms terms;
    unsigned int start, mask;
    PyObject *words = NULL;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "(y*y*O!Innn)y*I:numbered", &table, &marks, &PyFrozenSet_Type,
                          &terms.ignored, &mask, &terms.longest, &terms.piece, &terms.cut, &text,
                          &start))
        return NULL;
    terms.start = start;
    terms.mask = mask;
    if (table.len != 256 || terms.longest < 1 || terms.piece < 1 || text.len > INT32_MAX)
        PyErr_SetString(PyExc_ValueError, "terms that cannot be, or a text above 2 GiB");
    else
        words = numbered_in(&text, &table, &marks, &terms);
    PyBuffer_Release(&text);
    PyBuffer_Release(&table);
    PyBuffer_Release(&marks);
    return words;
}

static PyMethodDef methods[] = {
    {"numbered", numbered, METH_VARARGS, numbered_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_words", .m_size = 0, .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__words(void)
{
    fill_crc();
    return PyModule_Create(&module);
}
