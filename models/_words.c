/* words.py in C: what a text weighs, by its words, in a quarter of the time.
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
} Place;

typedef struct {
    Place *places;
    size_t room, taken;
} Found;

typedef struct {
    Py_buffer table, marks;
    PyObject *ignored;
    unsigned int mask;
    Py_ssize_t longest, piece, cut;
} Terms;

typedef struct {
    Py_buffer by_number; /* of signed char */
    int least;
    long long total;
    Py_ssize_t count;
    PyObject *strong;
} Weights;

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
crc32_of(const unsigned char *word, size_t length)
{
    uint32_t crc = ~0u;
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
is_in(PyObject *set, const unsigned char *word, size_t length)
{
    PyObject *name = PyBytes_FromStringAndSize((const char *)word, (Py_ssize_t)length);
    int is = name == NULL ? -1 : PySet_Contains(set, name);
    Py_XDECREF(name);
    return is;
}

static int
add(Found *found, const unsigned char *word, size_t length, uint32_t number, PyObject *ignored)
{
    Place *place = place_of(found->places, found->room, number);
    if (place->length == length && memcmp(place->word, word, length) == 0)
        return 0;
    if (place->length && !is_greater(word, length, place))
        return 0;
    if (ignored != NULL) {
        int is = is_in(ignored, word, length);
        if (is)
            return is < 0 ? -1 : 0;
    }
    found->taken += place->length == 0;
    *place = (Place){number, (uint32_t)length, word};
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
        uint32_t number = crc32_of(run + at, piece) & terms->mask;
        if (add(found, run + at, piece, number, NULL) < 0)
            return -1;
    }
    return 0;
}

static int
add_words(Found *found, unsigned char *text, Py_ssize_t size, const Terms *terms)
{
    const unsigned char *table = terms->table.buf;
    Py_ssize_t at = 0;
    while (at < size) {
        unsigned char octet = table[text[at]], high = 0;
        if (octet == ' ') {
            at++;
            continue;
        }
        Py_ssize_t begin = at;
        uint32_t crc = ~0u;
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
add_marks(Found *found, const Py_buffer *text, const Terms *terms)
{
    const unsigned char *mark = terms->marks.buf;
    for (Py_ssize_t at = 0; at < terms->marks.len; at++) {
        uint32_t number = crc32_of(mark + at, 1) & terms->mask;
        if (memchr(text->buf, mark[at], (size_t)text->len) != NULL &&
            add(found, mark + at, 1, number, NULL) < 0)
            return -1;
    }
    return 0;
}

/* Count one sign in; it is named when it tells much. */
static int
weigh(Weights *weights, unsigned long number, PyObject *key, PyObject *name, const Place *place)
{
    if (number >= (unsigned long)weights->by_number.len) {
        PyErr_SetString(PyExc_ValueError, "a sign beyond the weights");
        return -1;
    }
    int weight = ((const signed char *)weights->by_number.buf)[number];
    weights->count++;
    weights->total += weight;
    if (weight < weights->least && weight > -weights->least)
        return 0;
    if (place == NULL)
        return PyDict_SetItem(weights->strong, key, name);
    key = PyLong_FromUnsignedLong(number);
    name = PyBytes_FromStringAndSize((const char *)place->word, (Py_ssize_t)place->length);
    int done = key && name ? PyDict_SetItem(weights->strong, key, name) : -1;
    Py_XDECREF(key);
    Py_XDECREF(name);
    return done;
}

static int
weigh_words(Weights *weights, const Found *found)
{
    for (const Place *place = found->places; place < found->places + found->room; place++)
        if (place->length && weigh(weights, place->number, NULL, NULL, place) < 0)
            return -1;
    return 0;
}

/* Where a word has the same number, the word is what counts, once. */
static int
weigh_others(Weights *weights, const Found *found, PyObject *others)
{
    PyObject *key, *name;
    Py_ssize_t at = 0;
    while (PyDict_Next(others, &at, &key, &name)) {
        unsigned long number = PyLong_AsUnsignedLong(key);
        if (number == (unsigned long)-1 && PyErr_Occurred())
            return -1;
        if (number <= UINT32_MAX && place_of(found->places, found->room, (uint32_t)number)->length)
            continue;
        if (weigh(weights, number, key, name, NULL) < 0)
            return -1;
    }
    return 0;
}

static PyObject *
weighed_by(Weights *weights, const Terms *terms, const Py_buffer *text, PyObject *others)
{
    PyObject *result = NULL;
    Found found = {NULL, 0, 0};
    unsigned char *copy = PyMem_Malloc(text->len ? (size_t)text->len : 1);
    weights->strong = PyDict_New();
    if (copy == NULL || weights->strong == NULL || grow(&found) < 0)
        goto end;
    memcpy(copy, text->buf, (size_t)text->len);
    if (add_words(&found, copy, text->len, terms) == 0 && add_marks(&found, text, terms) == 0 &&
        weigh_words(weights, &found) == 0 && weigh_others(weights, &found, others) == 0)
        result = Py_BuildValue("nLO", weights->count, weights->total, weights->strong);
end:
    if (result == NULL && !PyErr_Occurred())
        PyErr_NoMemory();
    Py_XDECREF(weights->strong);
    PyMem_Free(found.places);
    PyMem_Free(copy);
    return result;
}

PyDoc_STRVAR(weighed_doc,
"weighed(terms, text, others, weights, least)\n--\n\n"
"As words.plainly(); terms are the table, marks, what is ignored, the mask, and in octets the\n"
"longest word, a piece, and what is cut into pieces.");

static PyObject *
weighed(PyObject *self, PyObject *arguments)
{
    Terms terms;
    Weights weights = {.total = 0, .count = 0};
    Py_buffer text;
    PyObject *others, *result = NULL;
    (void)self;
    if (!PyArg_ParseTuple(arguments, "(y*y*O!Innn)y*O!y*i:weighed", &terms.table, &terms.marks,
                          &PyFrozenSet_Type, &terms.ignored, &terms.mask, &terms.longest,
                          &terms.piece, &terms.cut, &text, &PyDict_Type, &others,
                          &weights.by_number, &weights.least))
        return NULL;
    if (terms.table.len != 256 || terms.longest < 1 || terms.piece < 1 || text.len > INT32_MAX)
        PyErr_SetString(PyExc_ValueError, "terms that cannot be, or a text above 2 GiB");
    else
        result = weighed_by(&weights, &terms, &text, others);
    PyBuffer_Release(&terms.table);
    PyBuffer_Release(&terms.marks);
    PyBuffer_Release(&text);
    PyBuffer_Release(&weights.by_number);
    return result;
}

static PyMethodDef methods[] = {
    {"weighed", weighed, METH_VARARGS, weighed_doc},
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
